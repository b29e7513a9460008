// Package awsname reads the names that AWS gives to things: ARNs, and the URLs of SQS queues. It is the only
// parser of them in this project, and it never guesses: a host that it does not know has no region, since a
// client that is made for the wrong region or host sends its credentials and messages there.
package awsname

import "strings"

// ARN is an Amazon Resource Name: arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE. Region and account may be
// empty, as in the ARN of a bucket.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html
type ARN struct{ Partition, Service, Region, Account, Resource string }

// maxARN is the longest ARN, in bytes, as KMS and IAM have it.
const maxARN = 2048

// ParseARN reads an ARN. It is not ok without a partition, a service and a resource.
func ParseARN(text string) (ARN, bool) {
	p := strings.SplitN(text, ":", 6)
	if len(text) > maxARN || len(p) != 6 || p[0] != "arn" || p[1] == "" || p[2] == "" || p[5] == "" {
		return ARN{}, false
	}
	return ARN{p[1], p[2], p[3], p[4], p[5]}, true
}

// String is the ARN as AWS writes it.
func (a ARN) String() string {
	return strings.Join([]string{"arn", a.Partition, a.Service, a.Region, a.Account, a.Resource}, ":")
}

// KMSKey is the ID in the ARN of a key in KMS, arn:PARTITION:kms:REGION:ACCOUNT:key/ID; "" = it is another
// ARN.
func (a ARN) KMSKey() string {
	id, ok := strings.CutPrefix(a.Resource, "key/")
	if !ok || a.Service != "kms" || a.Region == "" || a.Account == "" || strings.ContainsAny(id, ":/") {
		return ""
	}
	return id
}

// isAccount reports whether text is the ID of an account.
func isAccount(text string) bool {
	return len(text) == 12 && strings.Trim(text, "0123456789") == ""
}

// isRegion reports whether text has the form of a region's name: words, and a number of one or two digits at
// the end.
func isRegion(text string) bool {
	words := strings.Split(text, "-")
	last := len(words) - 1
	if len(text) > 32 || last < 2 || len(words[last]) == 0 || len(words[last]) > 2 ||
		strings.Trim(words[last], "0123456789") != "" {
		return false
	}
	for _, word := range words[:last] {
		if word == "" || strings.Trim(word, "abcdefghijklmnopqrstuvwxyz") != "" {
			return false
		}
	}
	return true
}
