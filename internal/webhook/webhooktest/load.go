package webhooktest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/concordsync/concord/internal/webhook/payload"
	"github.com/concordsync/concord/internal/webhook/payload/payloadtest"
)

// Load is a steady stream of orders.
type Load struct {
	Sender
	// Rate is in webhooks a second.
	Rate int
	// Length is how long it lasts.
	Length time.Duration
	// Connections is how many are sent at once at most; zero is 256.
	Connections int
	// Every, unless it is nil, is called after each second of the load.
	Every func(sent int)
}

// Report is what came of a load.
type Report struct {
	// Sent counts the deliveries, Answers what was answered to them by status; 0 stands for no answer.
	Sent    int         `json:"sent"`
	Answers map[int]int `json:"answers"`
	// Took is from the first delivery's time to the last answer.
	Took time.Duration `json:"took"`
	// answered are the times from when each delivery was due to its answer, the shortest first. A delivery that could not be sent in time
	// counts from when it should have been: a door that stops must not hide it by holding the sender up.
	answered []time.Duration
}

// Percentile is the answer time within which that part of all deliveries was answered, as in 0.99.
func (r Report) Percentile(part float64) time.Duration {
	if len(r.answered) == 0 {
		return 0
	}
	return r.answered[min(len(r.answered)-1, int(part*float64(len(r.answered))))]
}

// Run sends the load. The nth delivery has the id "load-n" and the payload payloadtest.Order(n).
func (l Load) Run(ctx context.Context) (Report, error) {
	connections := l.Connections
	if connections == 0 {
		connections = 256
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost, transport.MaxConnsPerHost = connections, connections, connections
	defer transport.CloseIdleConnections()
	l.Client = &http.Client{Transport: transport, Timeout: 10 * time.Second}

	total := int(l.Length.Seconds() * float64(l.Rate))
	report := Report{Answers: map[int]int{}, answered: make([]time.Duration, 0, total)}
	var mu sync.Mutex
	var senders sync.WaitGroup
	due := make(chan int, total)
	began := time.Now()
	at := func(n int) time.Time { return began.Add(time.Duration(n) * time.Second / time.Duration(l.Rate)) }
	for range connections {
		senders.Go(func() {
			for n := range due {
				status := l.send(ctx, n)
				took := time.Since(at(n))
				mu.Lock()
				report.Answers[status]++
				report.answered = append(report.answered, took)
				mu.Unlock()
			}
		})
	}
	var err error
	// Many fall due within a tick: a timer for each would cost more than sending it.
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for next, second := 0, 1; next < total && err == nil; {
		for now := time.Now(); next < total && !at(next).After(now); next++ {
			due <- next
			report.Sent++
		}
		if l.Every != nil && next >= second*l.Rate {
			l.Every(next)
			second++
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	close(due)
	senders.Wait()
	report.Took = time.Since(began)
	slices.Sort(report.answered)
	return report, err
}

func (l Load) send(ctx context.Context, n int) (status int) {
	request, err := l.Request(ctx, payload.TopicOrderCreate, fmt.Sprintf("load-%d", n), payloadtest.Order(n))
	if err != nil {
		return 0
	}
	response, err := l.Client.Do(request)
	if err != nil {
		return 0
	}
	// The connection is used again only when the answer was read; it has no body.
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	return response.StatusCode
}
