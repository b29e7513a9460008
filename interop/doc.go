// Package interop holds what tests sealbus against implementations that are not its own: a verifier in
// JavaScript that was written from SPEC.md alone (verifier/), the JavaScript SDKs of CloudEvents and of JOSE
// (peers/), and the servers behind the replay stores. It is a module of its own, so that nothing of it
// becomes a dependency of sealbus. See README.md for how to run it.
package interop
