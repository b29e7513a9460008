package reader

import "testing"

type double struct{}

func (double) Bundle() string { return "" }

func TestOpen(t *testing.T) { Open(double{}, help()) }

func help() *Options { return &Options{} }
