package localaws

import (
	"slices"
	"strings"
)

type archiveInput struct{ ArchiveName string }

type listedArchive struct {
	ArchiveName, EventSourceArn, State string
	CreationTime                       float64
	EventCount, RetentionDays          int
	SizeBytes                          int64
}

type describedArchive struct {
	listedArchive
	ArchiveArn   string
	Description  string `json:",omitempty"`
	EventPattern string `json:",omitempty"`
}

func (a *archive) listed() listedArchive {
	l := listedArchive{ArchiveName: a.name, EventSourceArn: a.source, State: "ENABLED",
		CreationTime: seconds(a.created), EventCount: len(a.events)}
	for _, e := range a.events {
		l.SizeBytes += int64(len(e.detail))
	}
	return l
}

// findArchive is called with s.mu locked.
func (s *Server) findArchive(name string) (*archive, error) {
	if i := slices.IndexFunc(s.archives, func(a *archive) bool { return a.name == name }); i >= 0 {
		return s.archives[i], nil
	}
	return nil, refuse("ResourceNotFoundException", "Archive %s does not exist.", name)
}

func (s *Server) describeArchive(in *archiveInput) (*describedArchive, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := s.findArchive(in.ArchiveName)
	if err != nil {
		return nil, err
	}
	return &describedArchive{a.listed(), s.arn("archive/" + a.name), a.description, a.text}, nil
}

type listArchivesInput struct {
	listInput
	EventSourceArn string
}

type listArchivesOutput struct {
	Archives  []listedArchive
	NextToken string `json:",omitempty"`
}

func (s *Server) listArchives(in *listArchivesInput) (*listArchivesOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*archive
	for _, a := range s.archives {
		if in.EventSourceArn == "" || a.source == in.EventSourceArn {
			all = append(all, a)
		}
	}
	slices.SortFunc(all, func(a, b *archive) int { return strings.Compare(a.name, b.name) })
	found, next := page(&in.listInput, all, func(a *archive) string { return a.name })
	out := &listArchivesOutput{Archives: []listedArchive{}, NextToken: next}
	for _, a := range found {
		out.Archives = append(out.Archives, a.listed())
	}
	return out, nil
}

// deleteArchive ends no replay: it has its events.
func (s *Server) deleteArchive(in *archiveInput) (nothing, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := s.findArchive(in.ArchiveName)
	if err != nil {
		return nothing{}, err
	}
	s.archives = slices.DeleteFunc(s.archives, func(other *archive) bool { return other == a })
	s.dropArchive(a)
	return nothing{}, nil
}
