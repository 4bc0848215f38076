package disk_test

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"testing"

	"stubtpm/stubdom/loader/disk"
)

// A counter counts what is read of a disk.
type counter struct {
	r io.ReaderAt
	n int64
}

func (c *counter) ReadAt(b []byte, off int64) (int, error) {
	c.n += int64(len(b))
	return c.r.ReadAt(b, off)
}

// overlapping makes each of 1,024 partitions of a disk one file system.
func overlapping(img []byte) {
	le := binary.LittleEndian
	const sector, at, n, size = 512, 64, 1024, 128
	header := img[sector:][:92]
	entries := img[at*sector:][:n*size]
	first, last := le.Uint64(img[2*sector+32:]), le.Uint64(img[2*sector+40:])
	for i := range n {
		e := entries[i*size:][:size]
		clear(e)
		e[0], e[16] = 1, byte(i)
		le.PutUint64(e[32:], first)
		le.PutUint64(e[40:], last)
	}
	le.PutUint64(header[72:], at)
	le.PutUint32(header[80:], n)
	le.PutUint32(header[88:], crc32.ChecksumIEEE(entries))
	clear(header[16:20])
	le.PutUint32(header[16:], crc32.ChecksumIEEE(header))
}

// TestManyEntries: partitions that overlap do not multiply what is read and kept.
func TestManyEntries(t *testing.T) {
	t.Parallel()
	img := script(t, `
truncate -s 12M img
printf 'label: gpt\nstart=2048, size=20480, type=linux\n' | sfdisk -q img
mkdir -p root/loader/entries
head -c 8000 /dev/zero | tr '\0' x > long
for i in $(seq 200); do echo "title $i
linux /k
options $(cat long)" > root/loader/entries/$i.conf; done
mke2fs -q -t ext4 -E offset=1048576 -d root img 10M
`)
	overlapping(img)
	c := &counter{r: strings.NewReader(string(img))}
	found, err := disk.Read(c, int64(len(img)), func(string, ...any) {})
	if err != nil {
		t.Fatal(err)
	}
	if len(found.Entries) > 1024 || c.n > 64<<20 {
		t.Errorf("%d entries, %d MiB read", len(found.Entries), c.n>>20)
	}
}

// TestLongPath: an entry whose file's path is longer than a system allows is left out.
func TestLongPath(t *testing.T) {
	t.Parallel()
	img := script(t, fmt.Sprintf(`
mkdir -p root/loader/entries
printf 'title long\nlinux %s\n' > root/loader/entries/b.conf
printf 'title good\nlinux /k\n' > root/loader/entries/a.conf
mke2fs -q -t ext4 -d root img 8M
`, strings.Repeat("/a", 10_000)))
	found, err := disk.Read(strings.NewReader(string(img)), int64(len(img)), t.Logf)
	if err != nil || len(found.Entries) != 1 || found.Entries[0].Title != "good" {
		t.Errorf("%v, %v", found.Entries, err)
	}
}
