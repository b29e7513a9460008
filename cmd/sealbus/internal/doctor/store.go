package doctor

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamodbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/errtext"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadclaims"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/consumer/replay/redis"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/claimtable"
)

// redisPatience is how long Redis may take to answer.
const redisPatience = 10 * time.Second

// fullMemory is the share of its memory, in per cent, from which on Redis should have more.
const fullMemory = 80

// checkRedis looks at whether Redis keeps claims, and whether this user may write them. An error is about the
// command line.
func (d *doctor) checkRedis(ctx context.Context) error {
	if d.f.redis == "" {
		return nil
	}
	client, err := loadclaims.Connect(d.f.redis)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }() // nothing was written
	ctx, cancel := context.WithTimeout(ctx, redisPatience)
	defer cancel()
	before := d.env.Clock()
	text, err := client.Info(ctx)
	if err != nil {
		d.redisFailed(client.Addr, err)
		if notPermitted(err) {
			d.checkRedisUser(ctx, client)
		}
		return nil
	}
	info := parseInfo(text)
	if info["role"] == "slave" {
		d.problem("redis", "give the address of the primary, or use Sentinel or the cluster's endpoint",
			"it is a replica: claims cannot be written")
	} else {
		d.ok("redis", "version %s at %s", info["redis_version"], client.Addr)
	}
	d.checkRedisUser(ctx, client)
	d.checkEviction(info)
	d.checkPersistence(info)
	d.checkRedisClock(ctx, client, before)
	return nil
}

func (d *doctor) redisFailed(addr string, err error) {
	switch text := err.Error(); {
	case notPermitted(err):
		d.unknown("redis", "redis-cli ACL SETUSER NAME +info",
			"this user of Redis may not call INFO, which the doctor needs to read the settings")
	case strings.HasPrefix(text, "NOAUTH"), strings.HasPrefix(text, "WRONGPASS"):
		d.problem("redis", "put user and password into the URL: redis://USER:PASSWORD@HOST:PORT",
			"it wants other credentials")
	default:
		d.silent("redis", "check the URL (rediss:// for TLS) and that this machine may connect",
			"it does not answer: %v", errtext.ReachedAt(addr, "Redis", err))
	}
}

// notPermitted reports whether the ACL of Redis forbids a command or a key.
func notPermitted(err error) bool { return err != nil && strings.HasPrefix(err.Error(), "NOPERM") }

// noClaim is a key that no claim has. The ACL treats it like the keys of claims.
const noClaim = redis.DefaultPrefix + "doctor"

// redisProbes are the commands of the store, each in a form that changes nothing. Redis looks at the ACL
// before anything else. The key is absent: DEL and PEXPIREAT do nothing, and SET with XX sets nothing.
var redisProbes = [][]any{
	{"EVAL", "return 1", 1, noClaim}, {"EVALSHA", strings.Repeat("0", 40), 1, noClaim}, {"GET", noClaim},
	{"SET", noClaim, "", "XX"}, {"DEL", noClaim}, {"PTTL", noClaim}, {"PEXPIREAT", noClaim, 1}, {"TIME"},
}

// checkRedisUser looks at whether the ACL lets this user do what the store does.
func (d *doctor) checkRedisUser(ctx context.Context, client *loadclaims.Client) {
	const check = "redis permissions"
	var missing, grant []string
	for _, probe := range redisProbes {
		command := probe[0].(string)
		_, err := client.Do(ctx, command, probe[1:]...)
		if ctx.Err() != nil {
			d.silent(check, "try again", "it does not answer: %v",
				errtext.ReachedAt(client.Addr, "Redis", err))
			return
		}
		if notPermitted(err) {
			missing, grant = append(missing, command), append(grant, "+"+strings.ToLower(command))
		}
	}
	if len(missing) > 0 {
		d.problem(check, "redis-cli ACL SETUSER NAME '~"+redis.DefaultPrefix+"*' "+strings.Join(grant, " "),
			"this user may not call %s for the keys of claims: no event can be handled",
			strings.Join(missing, ", "))
		return
	}
	d.ok(check, "this user may write claims")
}

// parseInfo reads the answer of INFO: lines of name:value, and headings.
func parseInfo(text string) map[string]string {
	info := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			info[name] = value
		}
	}
	return info
}

// checkEviction: what Redis evicts is forgotten, and may be handled a second time.
func (d *doctor) checkEviction(info map[string]string) {
	const check, fix = "redis maxmemory-policy",
		"redis-cli CONFIG SET maxmemory-policy noeviction # and in redis.conf, or in the parameter group"
	used, _ := strconv.ParseFloat(info["used_memory"], 64)
	most, _ := strconv.ParseFloat(info["maxmemory"], 64) // absent or 0 = no limit
	switch policy := info["maxmemory_policy"]; {
	case policy == "":
		d.unknown(check, "`redis-cli CONFIG GET maxmemory-policy` must say noeviction", "INFO does not tell")
	case policy != "noeviction":
		d.problem(check, fix, "%s: under pressure Redis forgets what was handled, and it is handled again",
			policy)
	case most > 0 && used*100 > fullMemory*most:
		d.warning(check, "give it more maxmemory",
			"noeviction, and %.0f%% of its memory is used: when it is full, events wait", used*100/most)
	default:
		d.ok(check, "noeviction")
	}
}

// checkPersistence: what Redis forgets at a restart may be handled a second time.
func (d *doctor) checkPersistence(info map[string]string) {
	const check = "redis persistence"
	switch info["aof_enabled"] {
	case "1":
		d.ok(check, "appendonly yes")
	case "":
		d.unknown(check, "`redis-cli CONFIG GET appendonly` must say yes", "INFO does not tell")
	default:
		d.warning(check,
			"redis-cli CONFIG SET appendonly yes # and in redis.conf, or in the parameter group; or keep claims in DynamoDB", "appendonly no: what it forgets at a restart is handled again, if it comes again")
	}
}

// checkRedisClock: it is by the clock of Redis that leases end and claims are forgotten.
func (d *doctor) checkRedisClock(ctx context.Context, client *loadclaims.Client, before time.Time) {
	at, err := client.Time(ctx)
	if err != nil {
		d.redisFailed(client.Addr, err)
		return
	}
	off := at.Sub(d.env.Clock())
	if at.Before(before) {
		off = before.Sub(at)
	}
	if off >= envelope.DefaultSkew {
		d.problem("redis clock", "let the clocks of both be set, as by chrony",
			"%s from that of this machine: events at the end of their window are refused or forgotten too early", ui.FormatDuration(off))
		return
	}
	d.ok("redis clock", "within %s of that of this machine", ui.FormatDuration(max(off, time.Second)))
}

// checkTable looks at the table of claims as `claims create-table` makes it.
func (d *doctor) checkTable(ctx context.Context) {
	out, err := d.aws.tables.DescribeTable(ctx, &awsdynamodb.DescribeTableInput{TableName: &d.f.table})
	create := "sealbus claims create-table --table " + d.f.table + " --region " + d.aws.region
	switch {
	case notFound(err):
		d.problem("table", create, "%s does not exist in %s", d.f.table, d.aws.region)
		return
	case err != nil:
		d.failed("table", "dynamodb:DescribeTable", d.tableResource(), err)
		return
	case out.Table == nil:
		d.unknown("table", "try again", "dynamodb:DescribeTable: an answer without a table")
		return
	}
	t := out.Table
	switch {
	case !claimKey(t):
		d.problem("table", "choose another name: "+
			create, "its key is not the string %q alone: it is no table for replay claims", claimtable.Key)
		return
	case t.TableStatus != dynamodbtypes.TableStatusActive &&
		t.TableStatus != dynamodbtypes.TableStatusUpdating:
		d.problem("table", "aws dynamodb describe-table --table-name "+d.f.table+
			" says more", "its status is %s", t.TableStatus)
	default:
		d.ok("table", "%s", aws.ToString(t.TableArn))
	}
	if !aws.ToBool(t.DeletionProtectionEnabled) {
		d.warning("table protection", "aws dynamodb update-table --table-name "+d.f.table+
			" --deletion-protection-enabled",
			"it can be deleted: every event in its window could then be handled again")
	}
	d.checkTimeToLive(ctx, create)
}

// claimKey wants the partition key and nothing else: under a sort key, one event would have many items.
func claimKey(t *dynamodbtypes.TableDescription) bool {
	if len(t.KeySchema) != 1 || aws.ToString(t.KeySchema[0].AttributeName) != claimtable.Key {
		return false
	}
	for _, a := range t.AttributeDefinitions {
		if aws.ToString(a.AttributeName) == claimtable.Key {
			return a.AttributeType == dynamodbtypes.ScalarAttributeTypeS
		}
	}
	return false
}

func (d *doctor) checkTimeToLive(ctx context.Context, create string) {
	const check = "table time to live"
	out, err := d.aws.tables.DescribeTimeToLive(ctx,
		&awsdynamodb.DescribeTimeToLiveInput{TableName: &d.f.table})
	if err != nil {
		d.failed(check, "dynamodb:DescribeTimeToLive", d.tableResource(), err)
		return
	}
	t := out.TimeToLiveDescription
	switch {
	case t == nil || t.TimeToLiveStatus != dynamodbtypes.TimeToLiveStatusEnabled &&
		t.TimeToLiveStatus != dynamodbtypes.TimeToLiveStatusEnabling:
		d.warning(check, create, "off: claims are never deleted, and the table only grows")
	case aws.ToString(t.AttributeName) != claimtable.TTL:
		d.problem(check, "switch it off there, and then: "+
			create, "on %q, not on %q: claims are deleted too early or never", aws.ToString(t.AttributeName),
			claimtable.TTL)
	default:
		d.ok(check, "on %s", claimtable.TTL)
	}
}

// tableResource is the table in an IAM statement.
func (d *doctor) tableResource() string { return d.aws.resource("dynamodb", "table/", d.f.table) }
