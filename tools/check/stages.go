package main

// stages are listed in the order in which they run: the quick ones first.
var stages = [...]stage{
	{"vet", "go vet, of the host's programs and of the unikernels", []command{
		{argv: []string{"go", "vet", "./..."}},
		{argv: []string{"go", "run", "./tools/baremetal", "vet"}},
	}},
	{"unit", "unit tests and the seeds of the fuzz targets", []command{
		{argv: []string{"go", "test", "-timeout", "10m", "./..."}},
	}},
	{"conformance", "other projects' test suites, unchanged, on this device", []command{
		{dir: "tools/conformance", argv: []string{"go", "run", "."}},
	}},
	{"baremetal", "the unikernels' bytes are the same from two directories", []command{
		{argv: []string{"go", "run", "./tools/baremetal", "repro", "./stubdom/vtpm", "./stubdom/vtpmmgr"}},
	}},
	{"xen", "manager, vTPM and guest on a real Xen in QEMU", []command{
		{env: []string{"STUBTPM_XEN=1"}, argv: []string{"go", "test", "-timeout", "40m", "-count", "1", "-run", "Xen", "./tools/xenlab/..."}},
	}},
}
