package awsname

import (
	"net/url"
	"strings"
	"unicode/utf8"
)

// Queue holds the parts of the URL of an SQS queue. A part that the URL lacks is empty.
type Queue struct {
	Partition string // "aws", "aws-cn", ...; "" = the host is not one of AWS
	Region    string // "" = no region is known
	Account   string // the 12 digits
	Name      string
	Endpoint  string // SCHEME://HOST that must be called to reach it; "" = the ordinary endpoint of the region
}

// ParseQueueURL reads the URL of a queue, of AWS or of an emulator. It is not ok if the text is no HTTP URL
// with a host and a path. A URL with a user name is refused: its host is easily mistaken for another.
func ParseQueueURL(text string) (Queue, bool) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil ||
		len(u.Path) < 2 {
		return Queue{}, false
	}
	q := Queue{Endpoint: u.Scheme + "://" + u.Host}
	q.readPath(u.Path)
	if strings.ContainsFunc(u.Host, func(r rune) bool { return r >= utf8.RuneSelf }) {
		return q, true // not of AWS, even if it looks so: strings.ToLower makes an "i" of U+0130
	}
	q.readHost(u.Scheme, strings.ToLower(strings.TrimSuffix(u.Hostname(), ".")), u.Port())
	return q, true
}

// ARN is the queue's ARN; not ok = the URL does not say enough.
func (q Queue) ARN() (ARN, bool) {
	a := ARN{q.Partition, "sqs", q.Region, q.Account, q.Name}
	return a, a.Partition != "" && a.Region != "" && a.Account != "" && a.Resource != ""
}

// readPath reads /ACCOUNT/NAME, and the paths of emulators: /queue/REGION/ACCOUNT/NAME (LocalStack),
// /queue/NAME (ElasticMQ).
func (q *Queue) readPath(path string) {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	q.Name = parts[len(parts)-1]
	switch {
	case len(parts) == 2 && isAccount(parts[0]):
		q.Account = parts[0]
	case len(parts) == 4 && parts[0] == "queue" && isRegion(parts[1]) && isAccount(parts[2]):
		q.Region, q.Account = parts[1], parts[2]
	}
}

// partition is a part of AWS that has hosts of its own.
type partition struct {
	name      string
	suffix    string // of its hosts
	dualStack string // of its hosts that have IPv6, too
	regions   string // what the names of its regions begin with; "" = any that is no other partition's
}

// partitions are those of the endpoint rules of AWS SDKs. "aws" is last: its suffixes are those of
// aws-us-gov, too.
var partitions = []partition{
	{"aws-us-gov", "amazonaws.com", "api.aws", "us-gov-"},
	{"aws-cn", "amazonaws.com.cn", "api.amazonwebservices.com.cn", "cn-"},
	{"aws-eusc", "amazonaws.eu", "api.amazonwebservices.eu", "eusc-"},
	{"aws-iso", "c2s.ic.gov", "api.aws.ic.gov", "us-iso-"},
	{"aws-iso-b", "sc2s.sgov.gov", "api.aws.scloud", "us-isob-"},
	{"aws-iso-e", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk", "eu-isoe-"},
	{"aws-iso-f", "csp.hci.ic.gov", "api.aws.hci.ic.gov", "us-isof-"},
	{"aws", "amazonaws.com", "api.aws", ""},
}

// has reports whether the region is one of the partition.
func (p *partition) has(region string) bool {
	if !isRegion(region) {
		return false
	}
	if p.regions != "" {
		return strings.HasPrefix(region, p.regions)
	}
	for i := range partitions {
		if other := partitions[i].regions; other != "" && strings.HasPrefix(region, other) {
			return false
		}
	}
	return true
}

// localStack is the domain that LocalStack has its emulated hosts in. It leads to this machine.
const localStack = "localhost.localstack.cloud"

// readHost reads the region out of the host. The whole host has to be of a known form: a host that only
// begins like one of AWS belongs to others.
// https://docs.aws.amazon.com/general/latest/gr/sqs-service.html
func (q *Queue) readHost(scheme, host, port string) {
	if before, ok := strings.CutSuffix(host, "."+localStack); ok {
		if region, _ := hostRegion(before); isRegion(region) {
			q.Region = region
		}
		return
	}
	if port != "" && (scheme != "https" || port != "443") {
		return // a tunnel or an emulator: AWS has no such port
	}
	if host == "queue.amazonaws.com" { // the oldest one, from when there was one region
		q.Partition, q.Region, q.Endpoint = "aws", "us-east-1", ""
		return
	}
	for i := range partitions {
		p := &partitions[i]
		if before, ok := strings.CutSuffix(host, "."+p.dualStack); ok {
			if region, form := hostRegion(before); p.has(region) && form != legacyHost && form != vpcHost {
				q.Partition, q.Region = p.name, region
				return
			}
		}
		if before, ok := strings.CutSuffix(host, "."+p.suffix); ok {
			if region, form := hostRegion(before); p.has(region) {
				q.Partition, q.Region = p.name, region
				if form == plainHost || form == legacyHost { // SDKs call the ordinary endpoint for a legacy one
					q.Endpoint = ""
				}
				return
			}
		}
	}
}

// The forms of a host, before the suffix of the partition.
const (
	plainHost  = iota // sqs.REGION
	fipsHost          // sqs-fips.REGION
	legacyHost        // REGION.queue
	vpcHost           // vpce-ID.sqs.REGION.vpce
	otherHost
)

func hostRegion(before string) (region string, form int) {
	labels := strings.Split(before, ".")
	switch {
	case len(labels) == 2 && labels[0] == "sqs":
		return labels[1], plainHost
	case len(labels) == 2 && labels[0] == "sqs-fips":
		return labels[1], fipsHost
	case len(labels) == 2 && labels[1] == "queue":
		return labels[0], legacyHost
	case len(labels) == 4 && strings.HasPrefix(labels[0], "vpce-") &&
		(labels[1] == "sqs" || labels[1] == "sqs-fips") && labels[3] == "vpce":
		return labels[2], vpcHost
	}
	return "", otherHost
}
