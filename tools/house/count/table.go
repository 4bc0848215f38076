package count

import (
	"fmt"
	"slices"
)

// Of returns the smallest number of which percent of all are no larger, 0 of no
// numbers. It sorts them.
func Of(percent int, numbers []int) int {
	if len(numbers) == 0 {
		return 0
	}
	slices.Sort(numbers)
	return numbers[min(len(numbers)-1, len(numbers)*percent/100)]
}

// Sizes are the figures of a set of files.
type Sizes struct {
	Files, Lines, Over400, Over120, Comments int
	FileLines, FunctionLines, Cyclomatic     []int
}

// Measure returns the figures of the files that keep accepts.
func Measure(files []File, keep func(*File) bool) Sizes {
	var s Sizes
	for i := range files {
		f := &files[i]
		if !keep(f) {
			continue
		}
		s.Files++
		s.Lines += f.Lines()
		s.Comments += f.CommentLines()
		s.Over120 += f.LinesOver(120)
		s.FileLines = append(s.FileLines, f.Lines())
		if f.Lines() > 400 {
			s.Over400++
		}
		for _, fn := range f.Functions() {
			s.FunctionLines = append(s.FunctionLines, fn.Lines)
			s.Cyclomatic = append(s.Cyclomatic, fn.Cyclomatic)
		}
	}
	return s
}

// Header names the columns of Row.
const Header = "| | files | lines | file lines median / p90 / max | > 400 | function lines median / p90 / p99 / max | cyclomatic median / p90 / p99 / max | comment lines | lines > 120 |\n|---|---|---|---|---|---|---|---|---|"

// Row returns the sizes as a line of a Markdown table.
func (s *Sizes) Row(name string) string {
	p := func(percent int, of []int) int { return Of(percent, of) }
	return fmt.Sprintf("| %s | %d | %d | %d / %d / %d | %d | %d / %d / %d / %d | %d / %d / %d / %d | %.1f %% | %d |",
		name, s.Files, s.Lines,
		p(50, s.FileLines), p(90, s.FileLines), p(100, s.FileLines), s.Over400,
		p(50, s.FunctionLines), p(90, s.FunctionLines), p(99, s.FunctionLines), p(100, s.FunctionLines),
		p(50, s.Cyclomatic), p(90, s.Cyclomatic), p(99, s.Cyclomatic), p(100, s.Cyclomatic),
		100*float64(s.Comments)/float64(max(s.Lines, 1)), s.Over120)
}
