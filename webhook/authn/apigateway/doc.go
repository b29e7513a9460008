// Package apigateway is a Lambda authorizer of Amazon API Gateway on package authn: TOKEN and REQUEST
// authorizers of REST APIs, and authorizers of HTTP APIs in the formats 1.0 and 2.0, with IAM policies or
// simple answers. It needs no module of AWS: Handle fits lambda.Start.
//
// # Security
//
// API Gateway keeps an answer for a caller, and uses it for other routes. So a policy covers all routes that
// the caller may call, and none that it may not: New refuses routes whose needs differ and whose patterns
// overlap, because "*" in a policy also stands for "/". A simple answer counts for one route: where routes
// differ, Handle asks that $context.routeKey be among the identity sources. The place of the token must be
// among them, too, or a kept answer counts for other callers. An HTTP API tells their values, so Handle
// refuses; for a REQUEST authorizer of a REST API, the operator sees to it.
//
// API Gateway uses a kept answer until its own time is over (5 minutes unless set, an hour at most), also
// after the token has expired or its key was removed.
//
// A caller without a good token gets 401 (the error Unauthorized), which is not kept. A caller who lacks a
// scope or a group gets 403 (a policy that denies). While the keys of the issuer cannot be had, Handle fails,
// and API Gateway answers 500 and keeps nothing.
//
// A function behind API Gateway believes IdentityOf as far as only API Gateway may invoke it. IdentityOf
// refuses id tokens, which the built-in authorizers let through in the place of access tokens.
//
// # Example
//
//	authorizer, err := apigateway.New(verifier, &apigateway.Options{Routes: []apigateway.Route{
//		{Method: "GET", Path: "/news", Need: &authn.Need{}},
//		{Method: "DELETE", Path: "/news/{id}", Need: &authn.Need{Groups: []string{"admin"}}},
//	}})
//	lambda.Start(authorizer.Handle)
//
// # Stability
//
// The answers, and the names in the context, are stable.
package apigateway
