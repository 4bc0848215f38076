package xenbus

import (
	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/xenstore"
)

// A Domain is what a driver needs from the domain that it runs in.
type Domain struct {
	Events xen.Events
	Grants xen.Grants
	Store  *xenstore.Client
}
