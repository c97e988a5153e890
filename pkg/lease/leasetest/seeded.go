package leasetest

import (
	"math/rand/v2"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// Faults says how bad a network is. Each chance is between 0 and 1 and is
// drawn for each message anew; the zero value is a perfect network.
type Faults struct {
	// MaxDelay bounds the delay of each message, both ways, drawn evenly
	// from zero up. Zero means that messages arrive at once.
	MaxDelay time.Duration

	// LoseRequest is the chance that a request never arrives.
	LoseRequest float64

	// LoseAnswer is the chance that a request is carried out and its answer
	// lost. The responses of a watch are not lost, see BreakWatch and
	// ForgetEvent.
	LoseAnswer float64

	// Reset is the chance that the connection breaks under a call: the
	// caller gets [ErrUnavailable] at once. Half of these requests never
	// arrive, half are carried out.
	Reset float64

	// Repeat is the chance that a second copy of a request arrives, within
	// MaxLate after the first.
	Repeat float64

	// Late is the chance that a request is held up for as long as MaxLate,
	// which should be longer than the patience of the callers.
	Late float64

	// MaxLate bounds Repeat and Late. Zero means that neither happens.
	MaxLate time.Duration

	// BreakWatch is the chance that a response of a watch is lost together
	// with its stream. The watch resumes, and sees the events later.
	BreakWatch float64

	// ForgetEvent is the chance that a response of a watch is lost and the
	// watch goes on: a bug of etcd, not of a network.
	ForgetEvent float64
}

// Seeded returns a network that does what the faults say. The same seed
// gives the same fates to the same messages in the same order; goroutines
// that race for the network may still change the order.
func Seeded(seed uint64, f Faults) Network {
	s := &seeded{faults: f, rand: rand.New(rand.NewPCG(seed, seed))}
	return Network{Request: s.request, Answer: s.answer}
}

type seeded struct {
	faults Faults

	mu   sync.Mutex
	rand *rand.Rand
}

func (s *seeded) request(c Call) Fate {
	s.mu.Lock()
	defer s.mu.Unlock()
	fate := Fate{Delay: s.upTo(s.faults.MaxDelay), Lost: s.happens(s.faults.LoseRequest)}
	if s.happens(s.faults.Reset) {
		fate.Err, fate.Lost = ErrUnavailable, s.happens(0.5)
	}
	if c.Method == "Watch" {
		// A stream is set up or it breaks; it does not hang for good.
		if fate.Lost {
			fate.Err = ErrUnavailable
		}
		return fate
	}
	if s.happens(s.faults.Late) {
		fate.Delay += s.upTo(s.faults.MaxLate)
	}
	if s.happens(s.faults.Repeat) {
		fate.Again = s.upTo(s.faults.MaxLate)
	}
	return fate
}

func (s *seeded) answer(c Call) Fate {
	s.mu.Lock()
	defer s.mu.Unlock()
	fate := Fate{Delay: s.upTo(s.faults.MaxDelay)}
	if c.Method != "Watch" {
		fate.Lost = s.happens(s.faults.LoseAnswer)
		return fate
	}
	if s.happens(s.faults.BreakWatch) {
		fate.Err = ErrUnavailable
	}
	if r, ok := c.Answer.(*pb.WatchResponse); ok && !r.Created && !r.Canceled {
		fate.Lost = s.happens(s.faults.ForgetEvent)
	}
	return fate
}

func (s *seeded) happens(chance float64) bool { return s.rand.Float64() < chance }

func (s *seeded) upTo(limit time.Duration) time.Duration {
	if limit <= 0 {
		return 0
	}
	return time.Duration(s.rand.Int64N(int64(limit) + 1))
}
