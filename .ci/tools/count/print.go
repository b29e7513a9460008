package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
)

func printReached(w io.Writer, results []*reached) []figure {
	var figures []figure
	fmt.Fprintf(w, "%-10s %9s %5s %5s %8s %5s %6s %7s %5s\n",
		"reached by", "functions", "all", "files", "packages", "depth", "median", "longest", "lines")
	for _, r := range results {
		files, packages, lines, total := map[string]bool{}, map[string]bool{}, []int{}, 0
		for _, f := range r.functions {
			files[f.file], packages[f.pkg] = true, true
			lines, total = append(lines, f.lines), total+f.lines
		}
		slices.Sort(lines)
		depth := r.functions[len(r.functions)-1].depth
		longest := lines[len(lines)-1]
		fmt.Fprintf(w, "%-10s %9d %5d %5d %8d %5d %6d %7d %5d\n", r.name, len(r.functions), len(r.all),
			len(files),
			len(packages), depth, lines[len(lines)/2], longest, total)
		figures = append(figures,
			figure{r.name, len(r.functions)}, figure{r.name + ".all", len(r.all)},
			figure{r.name + ".files", len(files)},
			figure{r.name + ".packages", len(packages)}, figure{r.name + ".depth", depth},
			figure{r.name + ".longest", longest}, figure{r.name + ".lines", total})
	}
	return figures
}

// printList prints the functions that the entry called name reaches, by package and file.
func printList(w io.Writer, results []*reached, name string) error {
	i := slices.IndexFunc(results, func(r *reached) bool { return r.name == name })
	if i < 0 {
		return fmt.Errorf("-list %s: no entry has this name", name)
	}
	functions := slices.Clone(results[i].all)
	counted := map[string]bool{}
	for _, f := range results[i].functions {
		counted[f.file+" "+f.name] = true
	}
	slices.SortStableFunc(functions, func(a, b *function) int { return strings.Compare(a.file, b.file) })
	slices.SortStableFunc(functions, func(a, b *function) int { return strings.Compare(a.pkg, b.pkg) })
	inPackage, inFile := map[string]int{}, map[string]int{}
	for _, f := range functions {
		inPackage[f.pkg]++
		inFile[f.file]++
	}
	fmt.Fprintf(w, "depth lines callers function < the caller on the shortest chain of calls\n")
	fmt.Fprintf(w, "* only a function value from elsewhere reaches it; it is not in the count\n")
	pkg, file := "-", ""
	for _, f := range functions {
		if f.pkg != pkg {
			pkg = f.pkg
			fmt.Fprintf(w, "\n%s: %d functions\n", cmp.Or(pkg, "."), inPackage[pkg])
		}
		if f.file != file {
			file = f.file
			fmt.Fprintf(w, "  %s: %d\n", file, inFile[file])
		}
		star := " "
		if !counted[f.file+" "+f.name] {
			star = "*"
		}
		line := fmt.Sprintf("%5d %5d %7d%s%s", f.depth, f.lines, f.callers, star, f.name)
		if f.caller != "" {
			line += " < " + f.caller
		}
		fmt.Fprintln(w, line)
	}
	return nil
}

// mostOptions is how many options structs are printed.
const mostOptions = 8

func printSource(w io.Writer, s *source) []figure {
	var figures []figure
	total, lines := &pkgSource{}, 0
	fmt.Fprintf(w, "\n%-42s %9s %7s %7s %7s\n", "exported names", "all", "top", "methods", "fields")
	row := func(name string, p *pkgSource) {
		top := p.exported - p.methods - p.fields
		fmt.Fprintf(w, "%-42s %9d %7d %7d %7d\n", name, p.exported, top, p.methods, p.fields)
	}
	for _, p := range s.packages {
		lines += p.lines
		if !p.importable() {
			continue
		}
		row(p.path, p)
		total.exported += p.exported
		total.methods += p.methods
		total.fields += p.fields
		figures = append(figures, figure{"exported." + p.path, p.exported})
	}
	row("total", total)

	slices.SortStableFunc(s.options, func(a, b optionsStruct) int { return b.fields - a.fields })
	fmt.Fprintf(w, "\n%-42s %9s\n", "options structs, the largest", "fields")
	for _, o := range s.options[:min(mostOptions, len(s.options))] {
		fmt.Fprintf(w, "%-42s %9d\n", o.pkg+"."+o.name, o.fields)
	}
	if len(s.options) > 0 {
		figures = append(figures, figure{"options", s.options[0].fields})
	}

	largest := 0
	fmt.Fprintf(w, "\n%-42s %9s %7s\n", "packages of the command", "files", "lines")
	for _, p := range s.packages {
		if p.path == "cmd/sealbus" || strings.HasPrefix(p.path, "cmd/sealbus/") {
			fmt.Fprintf(w, "%-42s %9d %7d\n", p.path, p.files, p.lines)
			largest = max(largest, p.files)
		}
	}
	fmt.Fprintf(w, "\n%-42s %9d\n", "lines without tests", lines)
	fmt.Fprintf(w, "%-42s %9d\n%-42s %9d\n", "tests", s.tests, "test helpers", s.helpers)
	return append(figures, figure{"exported", total.exported}, figure{"command.files", largest},
		figure{"lines", lines}, figure{"tests", s.tests}, figure{"helpers", s.helpers})
}
