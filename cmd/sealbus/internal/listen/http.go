package listen

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/serving"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/wire"
)

// Bounds of the local server.
const (
	maxPosted      = 16 << 20         // bytes of a body: a batch of large events
	mostAtATime    = 16               // POSTs: each may hold that many bytes
	postTimeout    = 30 * time.Second // to send a body
	answerTimeout  = 2 * time.Minute  // of a whole batch
	maxPostHeaders = 64 << 10         // bytes
	endPatience    = 30 * time.Second // for what is under way when listening ends
)

// serveHTTP serves until ctx ends, and then finishes what is under way.
func (l *listener) serveHTTP(ctx context.Context, where string) error {
	listening, err := serving.Listen("http", where)
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler: l.limited(http.HandlerFunc(l.post)), ErrorLog: log.New(io.Discard, "", 0),
		MaxHeaderBytes:    maxPostHeaders,
		ReadHeaderTimeout: postTimeout, ReadTimeout: postTimeout, WriteTimeout: postTimeout +
			answerTimeout, IdleTimeout: time.Minute,
	}
	if !serving.Loopback(listening.Addr()) {
		l.env.Warnf("any program that reaches %s can post events here; only verified ones are handled",
			listening.Addr())
	}
	l.env.Sayf("listening on http://%s/, Ctrl-C ends it", listening.Addr())
	return serving.Until(ctx, server, listening, endPatience)
}

// limited lets only so many requests in at a time.
func (l *listener) limited(next http.Handler) http.Handler {
	slots := make(chan struct{}, mostAtATime)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
			next.ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	})
}

// post answers one request with the verdict, or the list of those of a batch.
func (l *listener) post(w http.ResponseWriter, r *http.Request) {
	if status, message := refuseRequest(r); status != 0 {
		answerHTTP(w, status, ui.ErrorResult{Error: "usage", Message: message,
			Fix: "curl --json @sealed.json http://" + r.Host + "/"})
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPosted))
	if err != nil {
		status := http.StatusBadRequest
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			status = http.StatusRequestEntityTooLarge
		}
		answerHTTP(w, status, ui.ErrorResult{Error: "rejected",
			Message: "the body could not be read, or is too large", Fix: "post fewer events at a time"})
		return
	}
	body = bytes.TrimSpace(body)
	if l.full() {
		answerHTTP(w, http.StatusServiceUnavailable,
			ui.ErrorResult{Error: "unavailable", Message: "it is ending: --limit is reached",
				Fix: "try again later"})
		return
	}
	// An event that is being handled is finished, also if the sender goes away or listening ends. Otherwise its
	// effect could be there without a record of it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), answerTimeout)
	defer cancel()
	if elements, ok := batchOf(body); ok {
		l.answerBatch(ctx, w, elements)
		return
	}
	h := l.takePosted(ctx, body)
	answerHTTP(w, h.httpStatus(), h)
}

func (l *listener) takePosted(ctx context.Context, body []byte) *heard {
	h := l.take(ctx, body, time.Time{})
	if err := l.tell(h); err != nil {
		l.end() // the verdicts cannot be written any more
		if l.forward != nil {
			return h
		}
		// Its line was all that there is of it: the sender is to come again.
		h.Verdict, h.Cause, h.Fix = ui.VerdictRetry, "the verdict could not be written", "post it again later"
	}
	return h
}

// refuseRequest is why a request is not looked at; 0 = it is. A JSON content type is demanded because a web
// page in a browser cannot send one to this address without being asked first; and no Origin, which
// browsers add, because a page can have its own name lead to this address.
func refuseRequest(r *http.Request) (status int, message string) {
	switch media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); {
	case r.Method != http.MethodPost:
		return http.StatusMethodNotAllowed, "POST a sealed event"
	case r.Header.Get("Origin") != "":
		return http.StatusForbidden, "a web page may not post events here"
	case r.Header.Get("Ce-Specversion") != "":
		return http.StatusUnsupportedMediaType,
			"a CloudEvent in binary mode: post it in structured mode, the attributes in the body"
	case err != nil, media != "application/json" && !strings.HasSuffix(media, "+json"):
		return http.StatusUnsupportedMediaType,
			"the content type must be application/cloudevents+json or application/json"
	}
	return 0, ""
}

// batchOf is the elements of a JSON array. Any other body, or one that is not well-formed, is judged as one
// event.
func batchOf(body []byte) ([][]byte, bool) {
	if len(body) == 0 || body[0] != '[' {
		return nil, false
	}
	elements, err := wire.Split(body)
	return elements, err == nil && len(elements) > 0
}

// answerBatch answers with all verdicts, and the status that leaves nothing undone: 503 if any must come
// again (a duplicate does no harm), else the first refusal.
func (l *listener) answerBatch(ctx context.Context, w http.ResponseWriter, elements [][]byte) {
	status := http.StatusOK
	list := make([]*heard, len(elements))
	for i, e := range elements {
		list[i] = l.takePosted(ctx, e)
		if s := list[i].httpStatus(); s == http.StatusServiceUnavailable || status == http.StatusOK {
			status = s
		}
	}
	answerHTTP(w, status, list)
}

// httpStatus tells the sender whether to come again.
func (h *heard) httpStatus() int {
	switch {
	case h.Verdict == ui.VerdictVerified || h.Verdict == ui.VerdictDuplicate:
		return http.StatusOK
	case h.Verdict == ui.VerdictRetry:
		return http.StatusServiceUnavailable
	case h.Reason == envelope.ReasonMalformed:
		return http.StatusBadRequest
	case h.Reason == envelope.ReasonTooLarge:
		return http.StatusRequestEntityTooLarge
	}
	return http.StatusForbidden
}

func answerHTTP(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", http.MethodPost)
	}
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	w.WriteHeader(status)
	line, _ := ui.JSONLine(v) // texts, lists and times: it does not fail
	_, _ = w.Write(line)      // if it fails, the sender has gone
}
