package mint

// Delivery is an event as EventBridge delivers it.
func Delivery(source, detailType, account, detail string) Object {
	return Object{
		{"version", `"0"`},
		{"id", `"6f1c2b9e-6d1f-4d7b-9a51-0b2c4f3a8e10"`},
		{"detail-type", Quote(detailType)},
		{"source", Quote(source)},
		{"account", Quote(account)},
		{"time", `"2026-11-21T11:59:56Z"`},
		{"region", `"eu-central-1"`},
		{"resources", "[]"},
		{"detail", detail},
	}
}

// Embedded is the detail of the embedded layout: the sealed event's data object and, as its last member, the
// attributes. The event's data must be a JSON object without white space around it.
func Embedded(sealed Object) string {
	data := sealed.Get("data")
	attributes := Quote("cloudevent") + ":" + sealed.Del("data").String() + "}"
	if data == "{}" {
		return "{" + attributes
	}
	return data[:len(data)-1] + "," + attributes
}
