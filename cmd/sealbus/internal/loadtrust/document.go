package loadtrust

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/keys/trust/awss3"
)

// Document is a published document as it was read. Its zero value stands for one that is not there yet.
type Document struct {
	Content []byte
	etag    string // in S3
}

// IsRemote reports whether the name is a URL, and no file.
func IsRemote(where string) bool { return strings.Contains(where, "://") }

// ReadDocument reads a document of at most limit bytes, to be replaced by WriteDocument.
func ReadDocument(ctx context.Context, env *ui.Env, where string, limit int) (*Document, error) {
	origin, err := trustOrigin(ctx, env, where)
	if err != nil {
		return nil, err
	}
	if origin == nil {
		content, err := env.ReadFile(where, limit)
		return &Document{Content: content}, err
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	got, err := origin.Fetch(ctx, "")
	if err != nil {
		return nil, notFetched(origin, err)
	}
	if got.Body == nil {
		return nil, ui.Unavailable("try again", "%s: the answer is empty", where)
	}
	defer func() { _ = got.Body.Close() }() // was only read
	content, err := io.ReadAll(io.LimitReader(got.Body, int64(limit)+1))
	switch {
	case err != nil:
		return nil, notFetched(origin, err)
	case len(content) > limit:
		return nil, ui.WrongFile("check that this is the document you mean", "%s has more than %d bytes", where,
			limit)
	}
	return &Document{Content: content, etag: got.ETag}, nil
}

// WriteDocument puts the content in the place of old, if that is still there, or into a new place. So another
// writer's document is not lost.
func WriteDocument(ctx context.Context, env *ui.Env, where string, old *Document, content []byte) error {
	if !IsRemote(where) {
		if ui.Exists(where) {
			return ui.ReplaceFile(where, old.Content, content)
		}
		return ui.CreateFile(where, content, ui.PublicFile)
	}
	name, ok := strings.CutPrefix(where, "s3://")
	if !ok {
		return ui.Usage("name a file or s3://BUCKET/KEY", "a document cannot be written to %s", where)
	}
	client, bucket, key, err := object(ctx, name)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	err = awss3.Replace(ctx, client, bucket, key, old.etag, content)
	if errors.Is(err, awss3.ErrChanged) {
		if is, err := ReadDocument(ctx, env, where, len(content)); err == nil && bytes.Equal(is.Content, content) {
			return nil // it was written, the answer was lost, and the client tried again
		}
		return ui.Unavailable("run the command again with what is there now: of a timestamp, that is --previous",
			"%s was changed by another program meanwhile", where)
	}
	if err != nil {
		return ui.Unavailable("check that this role has s3:PutObject on the object, and try again",
			"writing: %w", err)
	}
	return nil
}
