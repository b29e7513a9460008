package ui

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// Emit writes a result: v as one line of JSON with --output json, else what text prints.
func (env *Env) Emit(v any, text func(*Printer)) error {
	if env.JSON {
		return env.WriteJSON(v)
	}
	p := &Printer{Style: env.Out}
	text(p)
	return env.WriteText(p)
}

// WriteJSON writes v as one line of JSON.
func (env *Env) WriteJSON(v any) error {
	line, err := JSONLine(v)
	if err != nil {
		return Unavailable("report this as a bug", "writing the result: %w", err)
	}
	return env.writeRaw(line)
}

// JSONLine is v as one line of JSON, which is harmless on a terminal wherever it ends up: encoding/json
// escapes no more than the control characters below the space.
func JSONLine(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return harmlessJSON(b.Bytes()), nil
}

// WriteOut writes data, which is JSON, to standard output: byte for byte into a pipe or file. On a terminal
// what is not printable is escaped, since the terminal would obey it.
func (env *Env) WriteOut(data []byte) error {
	if env.onTerminal() {
		data = harmlessJSON(data)
	}
	return env.writeRaw(data)
}

// WriteText writes text for people to standard output.
func (env *Env) WriteText(p *Printer) error { return env.writeRaw([]byte(p.harmless(p.String()))) }

// writeRaw writes to standard output what was made harmless, or must not be changed.
func (env *Env) writeRaw(data []byte) error {
	_, err := env.stdout.Write(data)
	env.wrote(err)
	if err != nil {
		return Unavailable("check where standard output goes", "writing to standard output: %w", Cause(err))
	}
	return nil
}

// DataWriter is writeOut for what wants an io.Writer.
func (env *Env) DataWriter() io.Writer { return dataWriter{env} }

type dataWriter struct{ env *Env }

func (w dataWriter) Write(data []byte) (int, error) { return len(data), w.env.WriteOut(data) }

// TalkWriter is standard error for what wants an io.Writer.
func (env *Env) TalkWriter() io.Writer { return talkWriter{env} }

type talkWriter struct{ env *Env }

func (w talkWriter) Write(text []byte) (int, error) {
	_, err := io.WriteString(w.env.stderr, w.env.Talk.harmless(string(text)))
	w.env.wrote(err)
	return len(text), err
}

// Sayf writes a line for people to standard error.
func (env *Env) Sayf(format string, args ...any) {
	env.Say("sealbus: "+Clean(fmt.Sprintf(format, args...)), 2)
}

// Warnf writes a line that people must not miss to standard error.
func (env *Env) Warnf(format string, args ...any) {
	env.Say(env.Talk.Yellow("sealbus: warning:")+" "+Clean(fmt.Sprintf(format, args...)), 2)
}

// Printer collects text for people.
type Printer struct {
	Style
	b strings.Builder
}

func (p *Printer) String() string { return p.b.String() }

// Hangingf adds a line, folded at the terminal's width, that goes on indented.
func (p *Printer) Hangingf(indent int, format string, args ...any) {
	p.Hanging(fmt.Sprintf(format, args...), 0, indent, p.Width)
}

// Hanging adds text as lines of at most so many columns; 0 = one line.
func (p *Printer) Hanging(text string, first, rest, most int) {
	text = strings.Repeat(" ", first) + text
	if most > 0 {
		text = hanging(text, most, rest)
	}
	p.Linef("%s", text)
}

// Linef adds a line. Untrusted text among args goes through clean or %q first.
func (p *Printer) Linef(format string, args ...any) {
	fmt.Fprintf(&p.b, format, args...)
	p.b.WriteByte('\n')
}

// KeepSecretFromTerminal keeps a secret from a terminal, which shows it and keeps it in its history.
func (env *Env) KeepSecretFromTerminal() error {
	if !env.onTerminal() {
		return nil
	}
	return Usage("redirect it: > FILE, or | the command that needs it",
		"standard output is a terminal, and the output is a secret")
}

// RefuseTerminal keeps what strangers wrote, where it is written as it is, from a terminal: that takes some
// of it for commands.
func (env *Env) RefuseTerminal() error {
	if !env.onTerminal() {
		return nil
	}
	return Usage("redirect it: > FILE, | sealbus inspect, or | cat -v",
		"the text was not verified, and standard output is a terminal, which could take parts of it for commands")
}
