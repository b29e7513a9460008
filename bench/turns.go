package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// protocol is of two programs that take turns: see serve. A change of what an operation does needs another
// name of the operation, not another protocol.
const protocol = "sealbus bench 1"

// hello is the first line of a program that was started with -turns.
type hello struct {
	Protocol   string   `json:"protocol"`
	Operations []string `json:"operations"`
	Primitives []string `json:"primitives"` // those of the operations that are of the standard library alone
}

// answer is the line after each request, which is a line with the name of an operation.
type answer struct {
	Microseconds float64 `json:"us"` // for one event
	Err          string  `json:"error,omitempty"`
}

// own are the operations that -compare measures: sealbus, and the primitives beside it.
func (p *plan) own() []*operation {
	var list []*operation
	seen := map[string]bool{}
	add := func(o *operation) {
		if o != nil && !seen[o.name] {
			seen[o.name] = true
			list = append(list, o)
		}
	}
	for _, g := range p.groups() {
		for _, r := range g.rows {
			if !r.peer {
				add(r.beside)
				add(r.operation)
			}
		}
	}
	return list
}

// serve says which operations there are, and then runs one turn of each operation that a line of in names.
// All it writes is JSON, one value on a line: hello, then an answer for each request. It ends with in.
func serve(p *plan, in io.Reader, out io.Writer) error {
	greeting := hello{Protocol: protocol}
	operations := map[string]*operation{}
	for _, o := range p.own() {
		greeting.Operations = append(greeting.Operations, o.name)
		if o.primitive {
			greeting.Primitives = append(greeting.Primitives, o.name)
		}
		operations[o.name] = o
	}
	encoder := json.NewEncoder(out)
	if err := encoder.Encode(greeting); err != nil {
		return err
	}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var a answer
		if o := operations[lines.Text()]; o != nil {
			a.Microseconds = o.turn()
		} else {
			a.Err = "no such operation"
		}
		if err := encoder.Encode(a); err != nil {
			return err
		}
	}
	return lines.Err()
}

// rival is a running program that was started with -turns.
type rival struct {
	command *exec.Cmd
	in      io.WriteCloser
	out     *json.Decoder
	hello   hello
}

func startRival(ctx context.Context, program string, wall bool) (*rival, error) {
	command := exec.CommandContext(ctx, program, "-turns", fmt.Sprintf("-wall=%t", wall))
	command.Stderr = os.Stderr
	in, err := command.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	r := &rival{command: command, in: in, out: json.NewDecoder(out)}
	if err := r.out.Decode(&r.hello); err != nil {
		return nil, fmt.Errorf("%s does not say what it measures: %w", program, r.stop(err))
	}
	if r.hello.Protocol != protocol {
		return nil, r.stop(fmt.Errorf("%s speaks %q, and this program %q", program, r.hello.Protocol,
			protocol))
	}
	return r, nil
}

// stop ends the program, and returns the error.
func (r *rival) stop(err error) error {
	r.in.Close()
	if ended := r.command.Wait(); err == nil {
		return ended
	}
	return err
}

// turn measures one turn of an operation.
func (r *rival) turn(name string) (float64, error) {
	if _, err := fmt.Fprintln(r.in, name); err != nil {
		return 0, err
	}
	var a answer
	if err := r.out.Decode(&a); err != nil {
		return 0, err
	}
	if a.Err != "" {
		return 0, fmt.Errorf("%s: %s", name, a.Err)
	}
	return a.Microseconds, nil
}
