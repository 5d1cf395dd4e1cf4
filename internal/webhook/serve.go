package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/net/netutil"
)

// Limits of a connection. Shopify sends a small request within a second (contracts/shopify.md 5.1); whoever takes longer is cut off.
const (
	headerTime  = 5 * time.Second
	requestTime = 10 * time.Second
	// writeTime is from the end of the headers to the end of the answer.
	writeTime = requestTime + answerTime + time.Second
	idleTime  = 90 * time.Second
	maxHeader = 16 << 10
	// maxConnections bounds the memory that strangers can take by opening connections; an idle one takes about 20 KB.
	maxConnections = 16384
	// stopTime is how long requests under way have when the process ends.
	stopTime = answerTime + time.Second
)

// Serve serves the door on a listener until ctx ends; then requests under way are answered, and what they said is kept. It closes the
// listener.
func (d *Door) Serve(ctx context.Context, listener net.Listener) error {
	server := &http.Server{
		Handler: d, ReadHeaderTimeout: headerTime, ReadTimeout: requestTime, WriteTimeout: writeTime, IdleTimeout: idleTime,
		// Of a connection that breaks nobody needs to know, least of all when strangers break thousands.
		MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(d.Log.Handler(), slog.LevelDebug),
	}
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { d.Run(work) })
	defer running.Wait()
	defer stop()
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(netutil.LimitListener(listener, maxConnections)) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve webhooks: %w", err)
	case <-ctx.Done():
	}
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	err := server.Shutdown(limited)
	if errors.Is(err, context.DeadlineExceeded) {
		// Those who are slow are not waited for; Shopify sends theirs again.
		err = server.Close()
	}
	<-failed
	if err != nil {
		return fmt.Errorf("stop serving webhooks: %w", err)
	}
	return nil
}
