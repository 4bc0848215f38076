package tpmif

import "stubtpm/drivers/xen"

// Raw returns the shared page and its event channel, for programs that test a
// backend by what no frontend should do. Preconditions: no Transact is under
// way, and Reopen follows.
func (f *Frontend) Raw() (*xen.Page, xen.Channel) { return f.page.Page(), f.events }
