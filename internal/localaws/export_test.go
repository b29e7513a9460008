package localaws

// Abandon ends only the journal.
func (s *Server) Abandon() { _ = s.journal.abandon() }

// Kill leaves the directory as a process does that is killed.
func (s *Server) Kill() {
	_ = s.journal.abandon()
	_ = s.Close() // it says that the journal was abandoned
}
