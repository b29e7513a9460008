package dev

import (
	"strings"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
)

// variable is one of the environment.
type variable struct{ name, value string }

// variables lead the AWS SDKs and the AWS CLI to the server. It looks at no credentials, but a client signs.
func variables(url string) []variable {
	return []variable{{"AWS_ENDPOINT_URL", url}, {"AWS_REGION", region}, {"AWS_ACCESS_KEY_ID", "dev"},
		{"AWS_SECRET_ACCESS_KEY", "dev"}}
}

// export is the line for a shell.
func export(url string) string {
	words := []string{"export"}
	for _, v := range variables(url) {
		words = append(words, v.name+"="+ui.ShellQuote(v.value))
	}
	return strings.Join(words, " ")
}

func printVariables(env *ui.Env, url string) error {
	all := map[string]string{}
	for _, v := range variables(url) {
		all[v.name] = v.value
	}
	return env.Emit(all, func(p *ui.Printer) { p.Linef("%s", export(url)) })
}

// started is what runs where, for programs.
type started struct {
	What       string            `json:"what"` // started
	Endpoint   string            `json:"endpoint"`
	Env        map[string]string `json:"env"`
	Home       string            `json:"home,omitempty"`
	Dir        string            `json:"dir,omitempty"`
	Bus        string            `json:"bus"`
	Queues     map[string]string `json:"queues"` // names to URLs
	Functions  map[string]string `json:"functions,omitempty"`
	Quarantine string            `json:"quarantine"`
	Table      string            `json:"table"`
	Bucket     string            `json:"bucket"`
	Key        string            `json:"key"`
}

// announce says what runs where. On the standard output of a program it is the first object; for people it is
// talk.
func announce(env *ui.Env, f *devFlags, w *world, s *site, functions []function) error {
	if env.JSON {
		return env.WriteJSON(startedOf(f, w, s, functions))
	}
	var rows [][2]string
	add := func(what, format string) { rows = append(rows, [2]string{what, format}) }
	if s != nil {
		add("home", s.describe())
	}
	add("bus", busName)
	for _, name := range queuesOf(s, functions) {
		text := name + " and " + name + deadSuffix
		if s != nil && len(s.consumers[name]) > 0 {
			text += ", for " + strings.Join(s.consumers[name], ", ")
		}
		add("queue", text)
	}
	add("queue URLs", urlOfQueue(w.url, "NAME"))
	for i := range functions {
		add("function", functions[i].name+", "+functions[i].where())
	}
	add("quarantine", "queue "+quarantine)
	add("claims", "DynamoDB table "+tableName)
	trust := "S3 bucket " + bucket + ", empty without a home"
	if s != nil {
		trust = "s3://" + bucket + "/trust.dsse, with roots.json and timestamp.dsse"
	}
	add("trust", trust)
	add("KMS key", keyAlias+", which signs (Ed25519)")
	kept := "in memory: gone at the end (--dir DIR keeps it)"
	if f.dir != "" {
		kept = "in " + f.dir + ": what was acknowledged survives a crash"
	}
	add("kept", kept)

	say := func(text string, indent int) { env.Say(text, indent) }
	say(env.Talk.Bold("sealbus dev")+": a part of AWS on this machine, at "+env.Talk.Bold(ui.Clean(w.url)), 2)
	say("", 0)
	const column = len("quarantine") + 4
	for _, r := range rows {
		say("  "+env.Talk.Dim(r[0])+strings.Repeat(" ", column-2-len(r[0]))+ui.Clean(r[1]), column)
	}
	say("", 0)
	say("In another terminal, for AWS SDKs, the AWS CLI and the commands of sealbus:", 0)
	for _, l := range broken(env.Talk.Width, export(w.url), "AWS_ACCESS_KEY_ID") {
		say("  "+l, 4)
	}
	say("", 0)
	if s == nil {
		say(env.Talk.Yellow("There is no home, so events cannot be judged.")+
			" Make one here, and it is taken up at once:", 0)
		for _, l := range broken(env.Talk.Width,
			"sealbus init orders --source 'https://orders.example/*' --type 'com.example.order.*'",
			"--type") {
			say("  "+l, 4)
		}
		say("  sealbus init billing --consumer", 4)
		say("", 0)
	}
	say("It is not AWS: no IAM (any program that reaches the port may do everything), no quotas, one "+
		"process. Ctrl-C ends it.", 0)
	say("", 0)
	return nil
}

// broken is a command, broken for the shell before a word if the terminal is too narrow for it; 0 = none is.
func broken(width int, command, before string) []string {
	first, rest, found := strings.Cut(command, before)
	if width == 0 || ui.Width(command)+2 <= width || !found {
		return []string{command}
	}
	return []string{first + "\\", "  " + before + rest}
}

func startedOf(f *devFlags, w *world, s *site, functions []function) *started {
	v := &started{
		What: "started", Endpoint: w.url, Env: map[string]string{}, Dir: f.dir, Bus: busName,
		Queues: map[string]string{}, Functions: map[string]string{}, Quarantine: w.queueURL(quarantine),
		Table: tableName, Bucket: bucket, Key: keyAlias,
	}
	for _, variable := range variables(w.url) {
		v.Env[variable.name] = variable.value
	}
	if s != nil {
		v.Home = s.dir
	}
	for _, name := range queuesOf(s, functions) {
		v.Queues[name] = w.queueURL(name)
	}
	for i := range functions {
		v.Functions[functions[i].name] = functions[i].where()
	}
	return v
}

// queuesOf are those of the consumers of the home that can have one, and of functions, sorted.
func queuesOf(s *site, functions []function) []string {
	names := map[string]bool{}
	if s != nil {
		for name := range s.consumers {
			if isQueueName(name) {
				names[name] = true
			}
		}
	}
	for i := range functions {
		names[functions[i].name] = true
	}
	return ui.SortedKeys(names)
}
