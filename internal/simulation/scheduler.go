package simulation

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"time"
)

// errDead is what every call of a process answers that has been killed: its caller unwinds and nothing more happens in it.
var errDead = errors.New("the process is dead")

// scheduler is the virtual clock of a run and the one hand that moves everything in it. What is due first comes first, and of what
// is due at once what was arranged first; tasks are coroutines that run until they wait. So a run is a function of its seed.
type scheduler struct {
	now    time.Time
	random *rand.Rand
	agenda agenda
	// arranged numbers what was arranged, and spawned tasks.
	arranged, spawned int64
	current           *task
	// idle are coroutines whose tasks have ended: a new one would grow its stack anew with every task.
	idle []*coroutine
}

// coroutine runs one task after another.
type coroutine struct {
	next  func() (time.Duration, bool)
	stop  func()
	yield func(time.Duration) bool
	body  func()
}

func (s *scheduler) coroutine() *coroutine {
	if last := len(s.idle) - 1; last >= 0 {
		c := s.idle[last]
		s.idle = s.idle[:last]
		return c
	}
	c := &coroutine{}
	c.next, c.stop = iter.Pull(func(yield func(time.Duration) bool) {
		c.yield = yield
		for c.body(); yield(finished); c.body() {
		}
	})
	return c
}

// close ends the coroutines that are idle.
func (s *scheduler) close() {
	for _, c := range s.idle {
		c.stop()
	}
	s.idle = nil
}

// due is something arranged for a moment.
type due struct {
	at     time.Time
	number int64
	run    func()
	// aside: it does nothing to a side or the ledger that a round could find.
	aside bool
}

type agenda []due

func (a agenda) Len() int { return len(a) }
func (a agenda) Less(i, j int) bool {
	if a[i].at.Equal(a[j].at) {
		return a[i].number < a[j].number
	}
	return a[i].at.Before(a[j].at)
}
func (a agenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(x any)   { *a = append(*a, x.(due)) }
func (a *agenda) Pop() any {
	last := len(*a) - 1
	x := (*a)[last]
	(*a)[last] = due{} // what it holds on to can be freed
	*a = (*a)[:last]
	return x
}

// at arranges run for a moment; one that has passed means now.
func (s *scheduler) at(when time.Time, run func()) { s.arrange(when, run, false) }

func (s *scheduler) after(span time.Duration, run func()) { s.at(s.now.Add(span), run) }

// aside is at for what does nothing that a round could find: it only looks after processes, or lets calls fail.
func (s *scheduler) aside(when time.Time, run func()) { s.arrange(when, run, true) }

func (s *scheduler) arrange(when time.Time, run func(), aside bool) {
	if when.Before(s.now) {
		when = s.now
	}
	s.arranged++
	heap.Push(&s.agenda, due{when, s.arranged, run, aside})
}

// nothingUntil is the first moment until end at which something is due that a round could find.
func (s *scheduler) nothingUntil(end time.Time) time.Time {
	for _, d := range s.agenda {
		if !d.aside {
			end = earlier(end, d.at)
		}
	}
	return end
}

// run does everything that is due until the moment end, and leaves the clock there.
func (s *scheduler) run(end time.Time) {
	for len(s.agenda) > 0 && !s.agenda[0].at.After(end) {
		next := heap.Pop(&s.agenda).(due)
		s.now = next.at
		next.run()
	}
	if s.now.Before(end) {
		s.now = end
	}
}

// process is one worker process: it has a clock of its own, and everything in it dies or freezes together.
type process struct {
	name  string
	alive bool
	// ahead is how far its clock is ahead of the true one.
	ahead       time.Duration
	frozenUntil time.Time
	tasks       map[*task]bool
	// crashIn and freezeIn count down the steps until it is killed or frozen; zero means never.
	crashIn, freezeIn int
	freezeFor         time.Duration
	// crashed and froze are told.
	crashed func()
	froze   func(time.Duration)
}

// task is one thread of a process.
type task struct {
	// number is in the order in which tasks were spawned.
	number  int64
	process *process
	*coroutine
	dead  bool
	ended bool
	then  func()
}

// A coroutine tells how long its task wants to wait, or one of these.
const (
	// parked: it waits for another task.
	parked = time.Duration(-1)
	// finished: the task has ended.
	finished = time.Duration(-2)
)

// spawn starts a task in a process; then, which may be nil, is called when it has ended well.
func (s *scheduler) spawn(p *process, body, then func()) {
	s.spawned++
	t := &task{number: s.spawned, process: p, then: then, coroutine: s.coroutine()}
	t.body = body
	p.tasks[t] = true
	s.at(s.now, func() { s.resume(t) })
}

func (s *scheduler) resume(t *task) {
	p := t.process
	if t.ended || t.dead {
		return
	}
	if p.frozenUntil.After(s.now) {
		s.at(p.frozenUntil, func() { s.resume(t) })
		return
	}
	before := s.current
	s.current = t
	span, _ := t.next()
	s.current = before
	switch {
	case span == finished:
		t.ended = true
		s.idle = append(s.idle, t.coroutine)
		delete(p.tasks, t)
		if t.then != nil && !t.dead {
			t.then()
		}
	case span != parked:
		s.after(span, func() { s.resume(t) })
	}
}

// pause lets the present task wait, so that others come in between. It returns errDead when its process was killed meanwhile.
func (s *scheduler) pause(span time.Duration) error {
	t := s.current
	if t.dead {
		return errDead
	}
	p := t.process
	if p.crashIn > 0 {
		if p.crashIn--; p.crashIn == 0 {
			p.crashed()
			s.kill(p)
			return errDead
		}
	}
	if p.freezeIn > 0 {
		if p.freezeIn--; p.freezeIn == 0 {
			p.froze(p.freezeFor)
			p.frozenUntil = s.now.Add(p.freezeFor)
		}
	}
	if !t.yield(max(span, time.Microsecond)) {
		t.dead = true
		return errDead
	}
	return nil
}

// kill ends a process: none of its tasks does anything any more.
func (s *scheduler) kill(p *process) {
	p.alive = false
	if s.current != nil && s.current.process == p {
		// It is the one that runs: it unwinds by itself.
		s.current.dead = true
	}
	tasks := slices.SortedFunc(maps.Keys(p.tasks), func(a, b *task) int { return cmp.Compare(a.number, b.number) })
	before := s.current
	for _, t := range tasks {
		if t == before || t.ended {
			continue
		}
		t.dead = true
		s.current = t
		t.stop() // its pause returns false, and it unwinds without a step
		s.current = before
	}
	clear(p.tasks)
}

// Together runs tasks in the present process, at most limit at a time (reconcile.Machine).
func (s *scheduler) Together(limit int, tasks ...func()) {
	parent := s.current
	if parent.dead {
		return
	}
	begun, running := 0, 0
	var begin func()
	begin = func() {
		for running < limit && begun < len(tasks) {
			body := tasks[begun]
			begun++
			running++
			s.spawn(parent.process, body, func() {
				if running--; begun == len(tasks) && running == 0 {
					s.at(s.now, func() { s.resume(parent) })
					return
				}
				begin()
			})
		}
	}
	begin()
	if running > 0 && !parent.yield(parked) {
		parent.dead = true
	}
}

// Beside runs a task in the present process (reconcile.Machine).
func (s *scheduler) Beside(task func()) { s.spawn(s.current.process, task, nil) }

// Doze waits (reconcile.Machine), longer than it is asked to and without being woken: a drain that looks ten times a second sees nothing
// more, and would take most of a run's time.
func (s *scheduler) Doze(_ context.Context, span time.Duration, _ <-chan struct{}) error {
	return s.pause(10 * span)
}

// Shuffle orders at random (reconcile.Machine).
func (s *scheduler) Shuffle(n int, swap func(i, j int)) { s.random.Shuffle(n, swap) }

type deadlineKey struct{}

// WithTimeout sets a deadline by the virtual clock (reconcile.Machine).
func (s *scheduler) WithTimeout(ctx context.Context, span time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithValue(ctx, deadlineKey{}, s.now.Add(span)))
	if span <= 0 {
		cancel()
	}
	return ctx, cancel
}

// deadline is when a call must have ended.
func (s *scheduler) deadline(ctx context.Context, otherwise time.Duration) time.Time {
	if at, ok := ctx.Value(deadlineKey{}).(time.Time); ok {
		return at
	}
	return s.now.Add(otherwise)
}
