// Package skew compares a side's clock with ours by the Date header of its answers.
package skew

import "time"

// Precision is that of the HTTP Date header.
const Precision = time.Second

// Between is by how much the server's clock is ahead of ours (negative: behind), as far as one call can tell: began and ended are when
// the call began and ended by our clock, server is the Date header of its answer, cut to the second. Zero means that the clocks may
// agree, and is also the answer when the header was missing.
func Between(began, ended, server time.Time) time.Duration {
	switch {
	case server.IsZero():
		return 0
	case server.After(ended):
		return server.Sub(ended)
	case server.Add(Precision).Before(began):
		return server.Add(Precision).Sub(began)
	default:
		return 0
	}
}
