// A web server in Go with nothing but its standard library, as it runs anywhere: it knows nothing of Ebb but $PORT.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

var born = strconv.FormatInt(time.Now().UnixNano(), 10)

type told struct {
	Born   string `json:"born"`
	Path   string `json:"path"`
	Query  string `json:"query"`
	Prefix string `json:"prefix"`
	Body   string `json:"body"`
	Most   int64  `json:"most"`
}

func main() {
	var present, most atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(out http.ResponseWriter, in *http.Request) {
		now := present.Add(1)
		defer present.Add(-1)
		for seen := most.Load(); now > seen && !most.CompareAndSwap(seen, now); seen = most.Load() {
		}
		if wait, err := time.ParseDuration(in.URL.Query().Get("sleep")); err == nil {
			time.Sleep(wait)
		}
		body, _ := io.ReadAll(in.Body)
		log.Printf("asked for %s", in.URL.Path)
		out.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(out).Encode(told{born, in.URL.Path, in.URL.RawQuery, in.Header.Get("X-Forwarded-Prefix"), string(body), most.Load()})
	})
	mux.HandleFunc("/stream", func(out http.ResponseWriter, in *http.Request) {
		out.Header().Set("Content-Type", "text/event-stream")
		for number := range 3 {
			fmt.Fprintf(out, "data: %d\n\n", number)
			out.(http.Flusher).Flush()
		}
	})
	mux.HandleFunc("/error", func(out http.ResponseWriter, in *http.Request) {
		http.Error(out, "no such book", http.StatusInternalServerError)
	})
	mux.HandleFunc("/panic", func(http.ResponseWriter, *http.Request) { panic("no shelf") })
	mux.HandleFunc("/exit", func(http.ResponseWriter, *http.Request) { os.Exit(3) })

	server := &http.Server{Addr: "127.0.0.1:" + os.Getenv("PORT"), Handler: mux}
	ending, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	done := make(chan struct{})
	go func() {
		<-ending.Done()
		_ = server.Shutdown(context.Background())
		log.Print("closed")
		close(done)
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
	<-done
}
