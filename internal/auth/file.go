package auth

import (
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"
)

// lookEach is how often files are looked at, at most.
const lookEach = time.Second

// watched is what was made of some files, made anew when one of them changes.
type watched[T any] struct {
	files []string
	parse func() (T, error)
	log   *slog.Logger

	mu     sync.Mutex
	value  T
	stamps []stamp
	looked time.Time
}

// stamp tells versions of a file apart.
type stamp struct {
	mod  time.Time
	size int64
	mode fs.FileMode
}

// watch reads files for the first time, and fails if they make no sense.
func watch[T any](log *slog.Logger, parse func() (T, error), files ...string) (*watched[T], error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	w := &watched[T]{files: files, parse: parse, log: log, looked: time.Now()}
	var err error
	if w.stamps, err = w.look(); err != nil {
		return nil, err
	}
	if w.value, err = parse(); err != nil {
		return nil, err
	}
	return w, nil
}

func (w *watched[T]) look() ([]stamp, error) {
	stamps := make([]stamp, len(w.files))
	for i, f := range w.files {
		info, err := os.Stat(f)
		if err != nil {
			return nil, err
		}
		stamps[i] = stamp{info.ModTime(), info.Size(), info.Mode()}
	}
	return stamps, nil
}

// current is what the files say, as of a second ago at most.
func (w *watched[T]) current() T {
	w.mu.Lock()
	defer w.mu.Unlock()
	if time.Since(w.looked) < lookEach {
		return w.value
	}
	w.looked = time.Now()
	stamps, err := w.look()
	if err == nil && slices.Equal(stamps, w.stamps) {
		return w.value
	}
	var value T
	if err == nil {
		value, err = w.parse()
	}
	if err != nil { // half written, perhaps: look again
		w.log.Warn("the new file is not used", "err", fmt.Errorf("%v: %w", w.files, err))
		return w.value
	}
	w.value, w.stamps = value, stamps
	w.log.Info("read anew", "files", w.files)
	return w.value
}
