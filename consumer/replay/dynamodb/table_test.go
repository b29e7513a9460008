package dynamodb_test

import (
	"os"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/sealbus/sealbus/internal/claimtable"
)

// TestTemplate: examples/replay-table.yaml makes the table that the store uses.
func TestTemplate(t *testing.T) {
	content, err := os.ReadFile("../../../examples/replay-table.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var template struct {
		Resources struct {
			ReplayTable struct {
				Properties struct {
					BillingMode               string `yaml:"BillingMode"`
					DeletionProtectionEnabled bool   `yaml:"DeletionProtectionEnabled"`
					AttributeDefinitions      []struct {
						AttributeName string `yaml:"AttributeName"`
						AttributeType string `yaml:"AttributeType"`
					} `yaml:"AttributeDefinitions"`
					KeySchema []struct {
						AttributeName string `yaml:"AttributeName"`
						KeyType       string `yaml:"KeyType"`
					} `yaml:"KeySchema"`
					TimeToLiveSpecification struct {
						AttributeName string `yaml:"AttributeName"`
						Enabled       bool   `yaml:"Enabled"`
					} `yaml:"TimeToLiveSpecification"`
				} `yaml:"Properties"`
			} `yaml:"ReplayTable"`
		} `yaml:"Resources"`
	}
	if err := yaml.Unmarshal(content, &template); err != nil {
		t.Fatal(err)
	}
	p := template.Resources.ReplayTable.Properties
	if len(p.KeySchema) != 1 || p.KeySchema[0].AttributeName != claimtable.Key ||
		p.KeySchema[0].KeyType != "HASH" {
		t.Errorf("the key is %+v", p.KeySchema)
	}
	if len(p.AttributeDefinitions) != 1 || p.AttributeDefinitions[0].AttributeName != claimtable.Key ||
		p.AttributeDefinitions[0].AttributeType != "S" {
		t.Errorf("the attributes are %+v", p.AttributeDefinitions)
	}
	if p.TimeToLiveSpecification.AttributeName != claimtable.TTL || !p.TimeToLiveSpecification.Enabled {
		t.Errorf("time to live is %+v", p.TimeToLiveSpecification)
	}
	if p.BillingMode != "PAY_PER_REQUEST" || !p.DeletionProtectionEnabled {
		t.Errorf("billing %q, deletion protection %v", p.BillingMode, p.DeletionProtectionEnabled)
	}
}
