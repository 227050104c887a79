//go:build tools

// Package queueproxy pins the Knative queue-proxy: its own module has a replace directive, which `go install` refuses.
package queueproxy

import _ "knative.dev/serving/cmd/queue"
