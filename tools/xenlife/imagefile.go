package xenlife

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// ErrGuestImage means that the image of a guest is in no regular file, or that the file was
// changed while it was used: nobody can say which image it is.
var ErrGuestImage = errors.New("xenlife: not an image of a guest whose hash is known")

// An imageFile is what was in the file of a guest's image at one time.
type imageFile struct {
	name  string
	token string // SHA-256 hash in hexadecimal
	info  os.FileInfo
}

// checkImagePlace returns an error unless an image can be saved to a file: to a new one, or to
// a regular one.
func checkImagePlace(name string) error {
	i, err := os.Stat(name)
	if err == nil && !i.Mode().IsRegular() {
		err = fmt.Errorf("%w: %s is no regular file", ErrGuestImage, name)
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// readImage hashes a file.
func readImage(name string) (*imageFile, error) {
	// Not to wait for the other end of a pipe.
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	i, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !i.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s is no regular file", ErrGuestImage, name)
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return nil, err
	}
	image := &imageFile{name, hex.EncodeToString(sum.Sum(nil)), i}
	return image, image.check()
}

// check returns an error if the file is another one than was hashed, or was written since.
func (f *imageFile) check() error {
	now, err := os.Stat(f.name)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrGuestImage, err)
	}
	a, ok := f.info.Sys().(*syscall.Stat_t)
	b, ok2 := now.Sys().(*syscall.Stat_t)
	// The time of the last change of the inode is what nobody can put back.
	if !ok || !ok2 || a.Dev != b.Dev || a.Ino != b.Ino || a.Size != b.Size || a.Mtim != b.Mtim || a.Ctim != b.Ctim {
		return fmt.Errorf("%w: %s was changed meanwhile", ErrGuestImage, f.name)
	}
	return nil
}
