// Package doctor has the command that looks at a set-up for what loses events or lets others in.
package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/awscli"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/errtext"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadkeys"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadtrust"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/consumer"
)

// doctorFlags name what `doctor` looks at.
type doctorFlags struct {
	awscli.AWSFlags
	loadtrust.TrustFlags
	loadkeys.KeyringFlags
	bus, queue, function string
	redis, table         string
	lease                ui.DurationValue
	maxAge               ui.DurationValue
	kms                  kmsUses

	maxAgeGiven bool
}

func Command(env *ui.Env) *cobra.Command {
	f := &doctorFlags{lease: ui.DurationValue(consumer.DefaultLease)}
	var cmd *cobra.Command
	cmd = env.Command(ui.Command{
		Use: "doctor [--bus NAME] [--queue URL] [--function NAME] [--trust FILE --roots FILE] [--keyring FILE] [--redis URL] [--table NAME] [--may-sign ARN...] [--may-encrypt ARN...] [--may-decrypt ARN...]", Short: "Look for what loses events or lets others in, and say how to put it right", Now: true,
		Long: `Look at a set-up for what loses events or lets others in. Each check is one line, with the cause, and with the command
or setting that puts it right. The command checks what the flags name. It also checks the AWS credentials, unless nothing
that is named is in AWS. It changes nothing and sends no event.

A finding is ok, a warning, a problem, or "could not check". If a permission is missing, it is named as an IAM statement.

Exit status: 4 if there is a problem, else 3 if something did not answer (try again), else 2 if something could not be
checked without a permission, a file or credentials, else 0, also with warnings.

--queue and --function together are compared with each other; with --bus, the rules that lead to them are checked, too.
Give --lease as the consumer's Options have it, and --max-age as its Policy has it. --may-sign, --may-encrypt and
--may-decrypt ask KMS by dry runs whether these credentials may use a key: run it as the role of the producer or the
consumer.`,
		Example: `sealbus doctor --bus central --queue https://sqs.eu-west-1.amazonaws.com/111122223333/billing --function billing \
  --trust bundle.dsse --roots roots.json
sealbus doctor --keyring orders.keyring --trust bundle.dsse --roots roots.json --output json`,
		Run: func(ctx context.Context, _ []string) error {
			f.maxAgeGiven = cmd.Flags().Changed("max-age")
			return examine(ctx, env, f)
		},
	})
	flags := cmd.Flags()
	flags.StringVar(&f.bus, "bus", "", "the event bus, a `NAME` or ARN")
	flags.StringVar(&f.queue, "queue", "", "the SQS queue that the consumer reads, a `URL`")
	flags.StringVar(&f.function, "function", "", "the consumer's Lambda function, a `NAME` or ARN")
	f.TrustFlags.Register(cmd)
	f.KeyringFlags.Register(cmd)
	flags.StringVar(&f.redis, "redis", "", "the Redis that keeps replay claims, a `URL`")
	flags.StringVar(&f.table, "table", "", "the DynamoDB table that keeps replay claims, a `NAME`")
	flags.Var(&f.lease, "lease", "the consumer's Lease")
	flags.Lookup("lease").DefValue = "30s"
	flags.Var(&f.maxAge, "max-age",
		"the MaxAge of the consumer's Policy, which includes the time in the queues (default not checked)")
	flags.Lookup("max-age").DefValue = ""
	flags.StringArrayVar(&f.kms.sign, "may-sign", nil, "a key in KMS to sign with, an `ARN` or alias")
	flags.StringArrayVar(&f.kms.encrypt, "may-encrypt", nil, "a key in KMS to encrypt to, an `ARN` or alias")
	flags.StringArrayVar(&f.kms.decrypt, "may-decrypt", nil, "a key in KMS to open with, an `ARN` or alias")
	flags.StringVar(&f.kms.source, "source", "",
		"the `SOURCE` of the events, which the encryption context names")
	f.AWSFlags.Register(cmd)
	return cmd
}

func (f *doctorFlags) check() error {
	switch {
	case (f.Trust == "") != (f.Roots == ""):
		return ui.Usage("add the other; `--help` explains them", "--trust and --roots belong together")
	case f.table != "" && !awscli.TableName.MatchString(f.table):
		return ui.Usage("use 3 to 255 of a-z A-Z 0-9 _ . -", "%q cannot be the name of a table", f.table)
	case len(f.kms.encrypt)+len(f.kms.decrypt) > 0 && f.kms.source == "":
		return ui.Usage("add --source URI, as in the events: key policies may allow one source and not another", "missing flag --source")
	}
	if err := awscli.CheckURL("queue", f.queue); err != nil {
		return err
	}
	return f.AWSFlags.Check()
}

// inAWS reports whether any of what is looked at is in AWS. If nothing is named, the credentials are.
func (f *doctorFlags) inAWS() bool {
	return f.bus != "" || f.queue != "" || f.function != "" || f.table != "" ||
		f.Trust == "" && f.Path == "" && f.redis == "" && !f.kms.any()
}

func examine(ctx context.Context, env *ui.Env, f *doctorFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	d := &doctor{env: env, f: f}
	if f.inAWS() {
		d.checkAWS(ctx)
	}
	d.checkKMS(ctx)
	if err := d.checkTrust(ctx); err != nil {
		return err
	}
	if err := d.checkKeyring(); err != nil {
		return err
	}
	if err := d.checkRedis(ctx); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := env.Emit(d.report(), d.print); err != nil {
		return err
	}
	return ui.Ended(d.exit())
}

// doctor collects findings.
type doctor struct {
	env      *ui.Env
	f        *doctorFlags
	aws      *awsClients // nil = nothing in AWS is looked at, or it cannot be reached
	findings []finding

	// These are the facts for checks of several things together; nil = not known.
	queue    *queueFacts
	function *functionFacts
	trusted  *trustFacts
}

// The statuses of a finding.
const (
	statusOK      = "ok"
	statusWarning = "warning"
	statusProblem = "problem"
	statusUnknown = "could_not_check"
)

// finding is one thing that was looked at.
type finding struct {
	Check  string `json:"check"` // a stable name
	Status string `json:"status"`
	Cause  string `json:"cause"`
	Fix    string `json:"fix,omitempty"` // a command or a setting; "" exactly if ok

	again bool // could not be checked, and another try may
}

// doctorReport is the result of `doctor`.
type doctorReport struct {
	Findings []finding `json:"findings"`
}

func (d *doctor) report() doctorReport { return doctorReport{append([]finding{}, d.findings...)} }

func (d *doctor) ok(check, format string, args ...any) {
	d.add(check, statusOK, "", format, args...)
}

func (d *doctor) warning(check, fix, format string, args ...any) {
	d.add(check, statusWarning, fix, format, args...)
}

func (d *doctor) problem(check, fix, format string, args ...any) {
	d.add(check, statusProblem, fix, format, args...)
}

func (d *doctor) unknown(check, fix, format string, args ...any) {
	d.add(check, statusUnknown, fix, format, args...)
}

func (d *doctor) add(check, status, fix, format string, args ...any) {
	d.findings = append(d.findings, finding{Check: check, Status: status, Cause: fmt.Sprintf(format, args...),
		Fix: fix})
}

// failed is the finding of a check whose call to AWS failed: the permission is missing, or AWS did not
// answer.
func (d *doctor) failed(check, action, resource string, err error) {
	if errtext.Denied(err) {
		d.unknown(check, "allow it: "+allowStatement(action, resource), "these credentials may not call %s",
			action)
		return
	}
	d.unreachedAWS(check, action, err)
}

// unreachedAWS is the finding of a call that AWS did not answer, or not with what was asked for.
func (d *doctor) unreachedAWS(check, action string, err error) {
	if errtext.MayPass(err) {
		d.silent(check, "check the network, --region and --endpoint, and try again", "%s: %v", action,
			errtext.AWS(err))
		return
	}
	d.unknown(check, "check --region, --endpoint and the credentials", "%s: %v", action, errtext.AWS(err))
}

// silent is the finding of what did not answer: another try may help.
func (d *doctor) silent(check, fix, format string, args ...any) {
	d.unknown(check, fix, format, args...)
	d.findings[len(d.findings)-1].again = true
}

func (d *doctor) count(status string) (n int) {
	for _, f := range d.findings {
		if f.Status == status {
			n++
		}
	}
	return n
}

// exit puts what must be seen to before what could not be judged.
func (d *doctor) exit() int {
	switch {
	case d.count(statusProblem) > 0:
		return ui.ExitDue
	case slices.ContainsFunc(d.findings, func(f finding) bool { return f.again }):
		return ui.ExitUnavailable
	case d.count(statusUnknown) > 0:
		return ui.ExitUsage
	}
	return ui.ExitDone
}

// print writes a table of the findings, with what to do below each: from the second column on, as it is to be
// pasted.
func (d *doctor) print(p *ui.Printer) {
	rows := [][]ui.Cell{{ui.Painted("STATUS", p.Dim), ui.Painted("CHECK", p.Dim),
		ui.Painted("FINDING", p.Dim)}}
	for _, f := range d.findings {
		rows = append(rows, []ui.Cell{statusCell(p, f.Status), ui.Painted(f.Check, p.Bold),
			ui.Painted(f.Cause, nil)})
	}
	t := ui.Table{Rows: rows}
	widths := t.Fit(ui.ColumnWidths(rows), p.Width)
	for i, row := range rows {
		for _, line := range ui.FoldRow(row, widths) {
			p.Linef("%s", line)
		}
		if i > 0 && d.findings[i-1].Fix != "" {
			indent := widths[0] + ui.ColumnGap
			p.Linef("%*s%s", indent, "", p.Cyan(fixLines(ui.Clean(d.findings[i-1].Fix), p.Width, indent)))
		}
	}
	p.Linef("\n%s", p.Bold(d.total()))
}

// fixLines folds advice in words. A command or a statement to paste stays one line, so that it can be copied:
// the terminal breaks it where the line is full. A command in backticks within a sentence is not broken.
func fixLines(fix string, most, indent int) string {
	paste := strings.ContainsAny(fix, "{'") || strings.HasPrefix(fix, "aws ") ||
		strings.HasPrefix(fix, "sealbus ") || strings.HasPrefix(fix, "redis-cli ")
	if most == 0 || paste {
		return "→ " + fix
	}
	const arrow = 2 // columns
	lines := ui.Fold("→ "+unbroken(fix), most-indent, most-indent-arrow)
	return strings.ReplaceAll(strings.Join(lines, "\n"+strings.Repeat(" ", indent+arrow)), noBreak, " ")
}

const noBreak = "\u00a0" // a space at which ui.Fold breaks no line

// unbroken keeps the commands in backticks in one piece.
func unbroken(fix string) string {
	parts := strings.Split(fix, "`")
	for i := 1; i < len(parts); i += 2 {
		parts[i] = strings.ReplaceAll(parts[i], " ", noBreak)
	}
	return strings.Join(parts, "`")
}

// total is how many findings there are of each status.
func (d *doctor) total() string {
	var parts []string
	for _, s := range []struct{ status, one, many string }{
		{statusProblem, "problem", "problems"}, {statusWarning, "warning", "warnings"},
		{statusUnknown, "could not be checked", "could not be checked"}, {statusOK, "ok", "ok"},
	} {
		switch n := d.count(s.status); n {
		case 0:
		case 1:
			parts = append(parts, "1 "+s.one)
		default:
			parts = append(parts, fmt.Sprintf("%d %s", n, s.many))
		}
	}
	return strings.Join(parts, ", ")
}

func statusCell(p *ui.Printer, status string) ui.Cell {
	switch status {
	case statusOK:
		return ui.Painted(status, p.Green)
	case statusWarning:
		return ui.Painted(status, p.Yellow)
	case statusProblem:
		return ui.Painted(status, p.Red)
	}
	return ui.Painted("could not check", p.Yellow)
}

// allowStatement is an IAM statement to paste.
func allowStatement(action, resource string) string {
	return fmt.Sprintf(`{"Effect":"Allow","Action":%q,"Resource":%q}`, action, resource)
}

// inSeconds is a duration as AWS has its settings.
func inSeconds(d time.Duration) int64 { return int64(d / time.Second) }

// goDuration writes a duration for a Go program: 192h, or 25h5m.
func goDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
