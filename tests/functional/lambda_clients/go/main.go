// As one writes it for AWS Lambda with AWS's module: an answer, an error, a panic, and a start that fails.
package main

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

func handle(ctx context.Context, event map[string]any) (map[string]any, error) {
	switch event["wish"] {
	case "error":
		return nil, errors.New("nothing ordered")
	case "panic":
		panic("no stock")
	case "sleep":
		time.Sleep(time.Minute)
	}
	told, _ := lambdacontext.FromContext(ctx)
	_, bounded := ctx.Deadline()
	return map[string]any{"event": event, "bounded": bounded, "id": told.AwsRequestID != "", "arn": told.InvokedFunctionArn != "",
		"memory": lambdacontext.MemoryLimitInMB, "handler": os.Getenv("_HANDLER"), "task": os.Getenv("LAMBDA_TASK_ROOT")}, nil
}

func main() {
	if os.Getenv("FAIL_INIT") != "" {
		panic("no table name")
	}
	lambda.Start(handle)
}
