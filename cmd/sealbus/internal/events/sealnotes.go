package events

import (
	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
)

func registerKeepTime(cmd *cobra.Command, keep *bool) {
	cmd.Flags().BoolVar(keep, "keep-recordedtime", true,
		"keep a recordedtime that an event has as originalrecordedtime; =false refuses such events")
}

// noteKeptTimes says whose recordedtime becomes originalrecordedtime: the event that comes out says another
// than the one that went in.
func noteKeptTimes(env *ui.Env, events []event.Event) {
	n := 0
	for i := range events {
		if _, has := events[i].Extensions()["recordedtime"]; has {
			n++
		}
	}
	if n > 0 {
		env.Sayf("note: %s had a recordedtime: it is kept as originalrecordedtime, in whole seconds",
			ui.Count(n, "event"))
		env.Sayf("  recordedtime is now the time of sealing")
	}
}

// sealNotes are the warnings about sealed events, each with the number of events that it is about.
type sealNotes struct {
	texts []string
	times map[string]int
}

func (n *sealNotes) add(warnings []string) {
	for _, text := range warnings {
		if n.times == nil {
			n.times = map[string]int{}
		}
		if n.times[text]++; n.times[text] == 1 {
			n.texts = append(n.texts, text)
		}
	}
}

func (n *sealNotes) tell(env *ui.Env) {
	for _, text := range n.texts {
		if times := n.times[text]; times > 1 {
			env.Warnf("%s (%s)", text, ui.Count(times, "event"))
			continue
		}
		env.Warnf("%s", text)
	}
}
