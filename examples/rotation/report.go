package main

import (
	"encoding/json"
	"time"

	"github.com/sealbus/sealbus/keys/trust"
)

// measured is what a run found, or left behind. A part that could not be read is nil, and its metric is
// missing: the alarms take that for a failure.
type measured struct {
	timestamp *trust.Timestamp
	bundle    *trust.Bundle
	stepsLate *int // of the keyring
}

// The metrics. Those in percent are the share of a life that is left.
const (
	namespace     = "Sealbus"
	timestampLeft = "TimestampLifeLeft"
	bundleLeft    = "BundleLifeLeft"
	rootsLeft     = "RootsDaysLeft"
	stepsLate     = "KeyringStepsLate"
)

type metric struct{ Name, Unit string }

type directive struct {
	Namespace  string
	Dimensions [][]string
	Metrics    []metric
}

// report writes the metrics as one line of the log, out of which CloudWatch makes them.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
func (j *job) report(m *measured) error {
	doc := map[string]any{"Bucket": j.bucket}
	var list []metric
	add := func(name, unit string, value float64) {
		doc[name] = value
		list = append(list, metric{name, unit})
	}
	if ts := m.timestamp; ts != nil {
		add(timestampLeft, "Percent", j.percentLeft(ts.Issued, ts.Expires))
	}
	if b := m.bundle; b != nil {
		add(bundleLeft, "Percent", j.percentLeft(b.Issued(), b.Expires()))
	}
	if end := j.roots.Limits().Expires; !end.IsZero() {
		add(rootsLeft, "Count", max(end.Sub(j.now()).Hours()/24, 0))
	}
	if m.stepsLate != nil {
		add(stepsLate, "Count", float64(*m.stepsLate))
	}
	if len(list) == 0 {
		return nil
	}
	doc["_aws"] = map[string]any{
		"Timestamp":         j.now().UnixMilli(),
		"CloudWatchMetrics": []directive{{namespace, [][]string{{"Bucket"}}, list}},
	}
	return json.NewEncoder(j.out).Encode(doc)
}

func (j *job) percentLeft(issued, expires time.Time) float64 {
	return max(100*float64(expires.Sub(j.now()))/float64(expires.Sub(issued)), 0)
}
