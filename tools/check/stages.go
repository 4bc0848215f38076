package main

// stages are listed in the order in which they run: the quick ones first.
var stages = [...]stage{
	{"vet", "go vet", []command{
		{argv: []string{"go", "vet", "./..."}},
	}},
	{"unit", "unit tests and the seeds of the fuzz targets", []command{
		{argv: []string{"go", "test", "-timeout", "10m", "./..."}},
	}},
	{"conformance", "other projects' test suites, unchanged, on this device", []command{
		{dir: "tools/conformance", argv: []string{"go", "run", "."}},
	}},
	{"xen", "manager, vTPM and guest on a real Xen in QEMU", []command{
		{env: []string{"STUBTPM_XEN=1"}, argv: []string{"go", "test", "-timeout", "40m", "-count", "1", "-run", "Xen", "./tools/xenlab/..."}},
	}},
}
