package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/consumer"
)

// doctorFlags name what `doctor` looks at.
type doctorFlags struct {
	awsFlags
	trustFlags
	keyringFlags
	bus, queue, function string
	redis, table         string
	lease                durationValue
	maxAge               durationValue
	queueRetention       durationValue
	kms                  kmsUses

	queueRetentionGiven bool
}

func (a *app) doctorCommand() *cobra.Command {
	f := &doctorFlags{lease: durationValue(consumer.DefaultLease), maxAge: durationValue(consumer.DefaultMaxAge)}
	var cmd *cobra.Command
	cmd = a.command(commandSpec{
		use: "doctor [--bus NAME] [--queue URL] [--function NAME] [--trust FILE --roots FILE] [--keyring FILE] [--redis URL] [--table NAME] [--may-sign ARN...] [--may-encrypt ARN...] [--may-decrypt ARN...]", short: "Look for what loses events or lets others in, and say how to put it right", now: true,
		long: `Look at a set-up for what loses events or lets others in. Each check is one line, with the cause, and with the command
or setting that puts it right. The command checks what the flags name. It also checks the AWS credentials, unless nothing
that is named is in AWS. It changes nothing and sends no event.

A finding is ok, a warning, a problem, or "could not check". If a permission is missing, it is named as an IAM statement.

Exit status: 4 if there is a problem, else 3 if something did not answer (try again), else 2 if something could not be
checked without a permission, a file or credentials, else 0, also with warnings.

--queue and --function together are compared with each other; with --bus, the rules that lead to them are checked, too.
Give --lease, --max-age and --queue-retention as the consumer's Options have them. --may-sign, --may-encrypt and
--may-decrypt ask KMS by dry runs whether these credentials may use a key: run it as the role of the producer or the
consumer.`,
		example: `sealbus doctor --bus central --queue https://sqs.eu-west-1.amazonaws.com/111122223333/billing --function billing \
  --trust bundle.dsse --roots roots.json
sealbus doctor --keyring orders.keyring --trust bundle.dsse --roots roots.json --output json`,
		run: func(ctx context.Context, _ []string) error {
			f.queueRetentionGiven = cmd.Flags().Changed("queue-retention")
			return a.doctor(ctx, f)
		},
	})
	flags := cmd.Flags()
	flags.StringVar(&f.bus, "bus", "", "the event bus, a `NAME` or ARN")
	flags.StringVar(&f.queue, "queue", "", "the SQS queue that the consumer reads, a `URL`")
	flags.StringVar(&f.function, "function", "", "the consumer's Lambda function, a `NAME` or ARN")
	f.trustFlags.register(cmd)
	f.keyringFlags.register(cmd)
	flags.StringVar(&f.redis, "redis", "", "the Redis that keeps replay claims, a `URL`")
	flags.StringVar(&f.table, "table", "", "the DynamoDB table that keeps replay claims, a `NAME`")
	flags.Var(&f.lease, "lease", "the consumer's Lease")
	flags.Lookup("lease").DefValue = "30s"
	flags.Var(&f.maxAge, "max-age", "the consumer's MaxAge")
	flags.Lookup("max-age").DefValue = "24h5m" // as in open
	flags.Var(&f.queueRetention, "queue-retention", "the consumer's QueueRetention (default not checked)")
	flags.StringArrayVar(&f.kms.sign, "may-sign", nil, "a key in KMS to sign with, an `ARN` or alias")
	flags.StringArrayVar(&f.kms.encrypt, "may-encrypt", nil, "a key in KMS to encrypt to, an `ARN` or alias")
	flags.StringArrayVar(&f.kms.decrypt, "may-decrypt", nil, "a key in KMS to open with, an `ARN` or alias")
	flags.StringVar(&f.kms.source, "source", "", "the `SOURCE` of the events, which the encryption context names")
	f.awsFlags.register(cmd)
	return cmd
}

func (f *doctorFlags) check() error {
	switch {
	case (f.trust == "") != (f.roots == ""):
		return usage("add the other; `--help` explains them", "--trust and --roots belong together")
	case f.table != "" && !tableName.MatchString(f.table):
		return usage("use 3 to 255 of a-z A-Z 0-9 _ . -", "%q cannot be the name of a table", f.table)
	case len(f.kms.encrypt)+len(f.kms.decrypt) > 0 && f.kms.source == "":
		return usage("add --source URI, as in the events: key policies may allow one source and not another", "missing flag --source")
	}
	if err := checkURL("queue", f.queue); err != nil {
		return err
	}
	return f.awsFlags.check()
}

// inAWS reports whether any of what is looked at is in AWS. If nothing is named, the credentials are.
func (f *doctorFlags) inAWS() bool {
	return f.bus != "" || f.queue != "" || f.function != "" || f.table != "" ||
		f.trust == "" && f.path == "" && f.redis == "" && !f.kms.any()
}

func (a *app) doctor(ctx context.Context, f *doctorFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	d := &doctor{app: a, f: f}
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
	if err := a.emit(d.report(), d.print); err != nil {
		return err
	}
	return ended(d.exit())
}

// doctor collects findings.
type doctor struct {
	app      *app
	f        *doctorFlags
	aws      *doctorAWS // nil = nothing in AWS is looked at, or it cannot be reached
	findings []finding

	// What was found out, for checks of several things together; nil = not known.
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
	d.findings = append(d.findings, finding{Check: check, Status: status, Cause: fmt.Sprintf(format, args...), Fix: fix})
}

// failed is the finding of a check whose call to AWS failed: the permission is missing, or AWS did not
// answer.
func (d *doctor) failed(check, action, resource string, err error) {
	if permissionDenied(err) {
		d.unknown(check, "allow it: "+allowStatement(action, resource), "these credentials may not call %s", action)
		return
	}
	d.unreachedAWS(check, action, err)
}

// unreachedAWS is the finding of a call that AWS did not answer, or not with what was asked for.
func (d *doctor) unreachedAWS(check, action string, err error) {
	if mayPass(err) {
		d.silent(check, "check the network, --region and --endpoint, and try again", "%s: %v", action, shortAWSError(err))
		return
	}
	d.unknown(check, "check --region, --endpoint and the credentials", "%s: %v", action, shortAWSError(err))
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
		return exitDue
	case slices.ContainsFunc(d.findings, func(f finding) bool { return f.again }):
		return exitUnavailable
	case d.count(statusUnknown) > 0:
		return exitUsage
	}
	return exitDone
}

// print writes a table of the findings, with what to do below each: from the second column on, as it is to be
// pasted.
func (d *doctor) print(p *printer) {
	rows := [][]cell{{{"STATUS", p.dim}, {"CHECK", p.dim}, {"FINDING", p.dim}}}
	for _, f := range d.findings {
		rows = append(rows, []cell{statusCell(p, f.Status), {f.Check, p.bold}, {f.Cause, nil}})
	}
	t := table{rows: rows}
	widths := t.fit(columnWidths(rows), p.width)
	for i, row := range rows {
		for _, line := range foldRow(row, widths) {
			p.linef("%s", line)
		}
		if i > 0 && d.findings[i-1].Fix != "" {
			indent := widths[0] + columnGap
			p.linef("%*s%s", indent, "", p.cyan(fixLines(clean(d.findings[i-1].Fix), p.width, indent)))
		}
	}
	p.linef("\n%s", p.bold(d.total()))
}

// fixLines folds advice in words. A command, or a statement to paste, stays as it is: the terminal breaks it
// where the line is full, and it is one line all the same when it is copied.
func fixLines(fix string, most, indent int) string {
	paste := strings.ContainsAny(fix, "{'`") || strings.HasPrefix(fix, "aws ") || strings.HasPrefix(fix, "sealbus ") || strings.HasPrefix(fix, "redis-cli ")
	if most == 0 || paste {
		return "→ " + fix
	}
	const arrow = 2 // columns
	return strings.Join(fold("→ "+fix, most-indent, most-indent-arrow), "\n"+strings.Repeat(" ", indent+arrow))
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

func statusCell(p *printer, status string) cell {
	switch status {
	case statusOK:
		return cell{status, p.green}
	case statusWarning:
		return cell{status, p.yellow}
	case statusProblem:
		return cell{status, p.red}
	}
	return cell{"could not check", p.yellow}
}

// allowStatement is an IAM statement to paste.
func allowStatement(action, resource string) string {
	return fmt.Sprintf(`{"Effect":"Allow","Action":%q,"Resource":%q}`, action, resource)
}

// shellQuote makes one word of text for the shell that a fix is pasted into.
func shellQuote(text string) string {
	plain := func(r rune) bool {
		return r < 0x80 && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:=@,+", r))
	}
	if text != "" && strings.IndexFunc(text, func(r rune) bool { return !plain(r) }) < 0 {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
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
