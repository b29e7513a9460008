package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/examples/news/newsroom"
	"github.com/sealbus/sealbus/examples/orders/orderstest"
	"github.com/sealbus/sealbus/internal/testbed/cfntest"
)

// template is the template, with each reference as text.
func template(t *testing.T) func(resource string, path ...string) any {
	t.Helper()
	d := orderstest.Deploy(t, "template.yaml", nil)
	return func(resource string, path ...string) any {
		t.Helper()
		if d.Resources[resource].Type == "" {
			t.Fatalf("there is no %s", resource)
		}
		return cfntest.Plain(cfntest.Get(d.Resources[resource].Properties, path...))
	}
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: %v, not %v", what, got, want)
	}
}

// TestRoutesAreGuarded: of all routes and methods only GET /news has no authorizer. Where users call, a scope
// is asked for, which id tokens have not.
func TestRoutesAreGuarded(t *testing.T) {
	d := orderstest.Deploy(t, "template.yaml", nil)
	var open, guarded []string
	look := func(name, kind string, p map[string]any) {
		if kind == "NONE" {
			open = append(open, name)
			return
		}
		guarded = append(guarded, name+" "+kind)
		if p["AuthorizerId"] == nil {
			t.Errorf("%s has no authorizer", name)
		}
		if scopes := cfntest.List(p["AuthorizationScopes"]); kind != "CUSTOM" && (len(scopes) != 1 ||
			scopes[0] != newsroom.UserScope) {
			t.Errorf("%s asks for the scopes %v: an id token passes", name, scopes)
		}
	}
	for _, id := range d.OfType("AWS::ApiGatewayV2::Route") {
		p := d.Resources[id].Properties
		look(fmt.Sprint(p["RouteKey"]), fmt.Sprint(p["AuthorizationType"]), p)
	}
	paths := map[any]string{"${RestNews}": "/news", "${RestItem}": "/news/{id}"}
	for _, id := range d.OfType("AWS::ApiGateway::Method") {
		p := d.Resources[id].Properties
		look(fmt.Sprint(p["HttpMethod"], " ", paths[cfntest.Plain(p["ResourceId"])]),
			fmt.Sprint(p["AuthorizationType"]), p)
	}
	slices.Sort(open)
	slices.Sort(guarded)
	same(t, "open", open, []string{"GET /news", "GET /news"})
	same(t, "guarded", guarded, []string{"DELETE /news/{id} COGNITO_USER_POOLS", "DELETE /news/{id} JWT",
		"POST /news CUSTOM"})
}

// TestUserPool: the authorizers take the tokens of this user pool, of the client that the route is for.
func TestUserPool(t *testing.T) {
	get := template(t)
	issuer := "https://cognito-idp.${AWS::Region}.amazonaws.com/${UserPool}"
	same(t, "JWT issuer", get("HttpTokens", "JwtConfiguration", "Issuer"), issuer)
	same(t, "JWT audience", get("HttpTokens", "JwtConfiguration", "Audience"), []string{"${WebsiteClient}"})
	same(t, "JWT source", get("HttpTokens", "IdentitySource"), []string{"$request.header.Authorization"})
	same(t, "Cognito", get("RestUsers", "ProviderARNs"), []string{"${UserPool.Arn}"})
	same(t, "Cognito source", get("RestUsers", "IdentitySource"), "method.request.header.Authorization")
	same(t, "Lambda issuer", get("Authorizer", "Environment", "Variables", "ISSUER"), issuer)
	same(t, "Lambda clients", get("Authorizer", "Environment", "Variables", "CLIENT_IDS"), "${PartnerClient}")
	same(t, "Lambda source", get("RestPartners", "IdentitySource"), "method.request.header.Authorization")
	same(t, "the group", []string{get("AdminGroup", "GroupName").(string)}, newsroom.MayDelete().Groups)
	scope := cfntest.Get(cfntest.List(get("NewsServer", "Scopes"))[0], "ScopeName")
	submit := fmt.Sprint(get("NewsServer", "Identifier"), "/", scope)
	same(t, "scopes of partners", get("PartnerClient", "AllowedOAuthScopes"), []string{submit})
	same(t, "flows of partners", get("PartnerClient", "AllowedOAuthFlows"), []string{"client_credentials"})
	same(t, "scopes of readers", get("WebsiteClient", "AllowedOAuthScopes"), nil)
	if ttl, _ := get("RestPartners", "AuthorizerResultTtlInSeconds").(int); ttl > 60 {
		t.Errorf("an answer is kept for %d s after the end of its token", ttl)
	}
}

// TestPartners: POST /news has a key, a quota and a model, and no body passes that the model has not seen.
func TestPartners(t *testing.T) {
	get := template(t)
	same(t, "key source", get("RestApi", "ApiKeySourceType"), "AUTHORIZER")
	same(t, "key wanted", get("RestPostNews", "ApiKeyRequired"), true)
	same(t, "key", get("PartnerKey", "Value"), "${PartnerClient}")
	same(t, "key in plan", get("PartnerInPlan", "KeyId"), "${PartnerKey}")
	same(t, "plan of key", get("PartnerInPlan", "UsagePlanId"), "${PartnerPlan}")
	stage := cfntest.List(get("PartnerPlan", "ApiStages"))[0]
	same(t, "stage of plan", cfntest.Get(stage, "Stage"), "${RestStage}")
	same(t, "quota", get("PartnerPlan", "Quota"), map[string]any{"Limit": "${PartnerQuota}", "Period": "DAY"})
	same(t, "model", get("RestPostNews", "RequestModels"), map[string]any{"application/json": "${Submission}"})
	same(t, "validator", get("RestPostNews", "RequestValidatorId"), "${Bodies}")
	same(t, "bodies", get("Bodies", "ValidateRequestBody"), true)
	same(t, "more members", get("Submission", "Schema", "additionalProperties"), false)
	// Of another content type no model is asked, and without NEVER the body would be passed on.
	same(t, "other types", get("RestPostNews", "Integration", "PassthroughBehavior"), "NEVER")
	templates, _ := get("RestPostNews", "Integration", "RequestTemplates").(map[string]any)
	if len(templates) != 1 || !strings.Contains(fmt.Sprint(templates["application/json"]), "${Inbox}") {
		t.Errorf("the request templates: %v", templates)
	}
}

// TestInbox: API Gateway alone puts events on the inbox, with a role that may do nothing else. A change of a
// method is not forgotten: the deployment waits for all of them.
func TestInbox(t *testing.T) {
	get := template(t)
	same(t, "credentials", get("RestPostNews", "Integration", "Credentials"), "${InboxRole.Arn}")
	same(t, "action", get("RestPostNews", "Integration", "Uri"),
		"arn:${AWS::Partition}:apigateway:${AWS::Region}:events:action/PutEvents")
	same(t, "policy", get("InboxPolicy", "Statement"), map[string]any{"Effect": "Deny", "Principal": "*",
		"Action": "events:PutEvents", "Resource": "${Inbox.Arn}", "Condition": map[string]any{
			"ArnNotEquals": map[string]any{"aws:PrincipalArn": "${InboxRole.Arn}"}}})
	d := orderstest.Deploy(t, "template.yaml", nil)
	same(t, "deployment", d.Resources["RestDeployment1"].All["DependsOn"],
		[]string{"RestGetNews", "RestDeleteNews", "RestPostNews"})
	same(t, "methods", len(d.OfType("AWS::ApiGateway::Method")), 3)
	actions := 0
	for _, s := range d.Resources["InboxRole"].Statements() {
		if s["Action"] != "sts:AssumeRole" {
			actions++
			same(t, "may", []any{s["Action"], s["Resource"]}, []any{"events:PutEvents", "${Inbox.Arn}"})
		}
	}
	same(t, "statements", actions, 1)
}
