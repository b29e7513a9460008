package webhook

// goSchemes are the schemes in Go of this package: their signatures cannot be described by a recipe.
func goSchemes() []Scheme { return []Scheme{adyen{}, paypal{}, sns{}, twilio{}} }
