// Reads an exported log and receipts with Go's own transparency-log packages
// (golang.org/x/mod/sumdb/note and tlog), which nobody here wrote.
//
//	verify VKEY EXPORT RECEIPTS
//
// RECEIPTS is a folder of pairs: NAME.leaf and NAME.tlog-proof. Prints what was verified;
// exits with 1 and says why when anything does not hold.
package main

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8 // c2sp.org/tlog-tiles: tiles of 2^8 hashes

func main() {
	verifier, err := note.NewVerifier(os.Args[1])
	check(err)
	log := open(verifier, os.Args[2])
	entries := log.checkEntries()
	receipts := log.checkReceipts(verifier, os.Args[3])
	fmt.Printf("size %d entries %d tiles %d receipts %d\n", log.tree.N, entries, len(log.seen), receipts)
}

type exported struct {
	folder string
	tree   tlog.Tree
	hashes tlog.HashReader
	seen   map[string]bool
}

// open checks the checkpoint's signature, and that the tiles lead to its root.
func open(verifier note.Verifier, folder string) *exported {
	log := &exported{folder: folder, seen: map[string]bool{}}
	log.tree = checkpoint(verifier, read(filepath.Join(folder, "checkpoint")))
	log.hashes = tlog.TileHashReader(log.tree, log)
	root, err := tlog.TreeHash(log.tree.N, log.hashes)
	check(err)
	if root != log.tree.Hash {
		fail("the tiles do not lead to the root")
	}
	return log
}

// checkEntries compares each entry with its leaf hash, read from tiles that TileHashReader
// has authenticated up to the root.
func (log *exported) checkEntries() int64 {
	position := int64(0)
	for position < log.tree.N {
		width := log.tree.N - position
		if width > 256 {
			width = 256
		}
		indexes := make([]int64, width)
		for i := range indexes {
			indexes[i] = tlog.StoredHashIndex(0, position+int64(i))
		}
		hashes, err := log.hashes.ReadHashes(indexes)
		check(err)
		tile := tlog.Tile{H: height, L: 0, N: position / 256, W: int(width)}
		data := read(filepath.Join(log.folder, strings.Replace(path(tile), "tile/0/", "tile/entries/", 1)))
		for _, hash := range hashes {
			length := int(binary.BigEndian.Uint16(data))
			if tlog.RecordHash(data[2:2+length]) != hash {
				fail(fmt.Sprintf("entry %d is not the leaf", position))
			}
			data = data[2+length:]
			position++
		}
		if len(data) != 0 {
			fail("a bundle holds more than its entries")
		}
	}
	return position
}

// checkReceipts checks each receipt by itself, and that its tree begins the exported one.
func (log *exported) checkReceipts(verifier note.Verifier, folder string) int {
	proofs, err := filepath.Glob(filepath.Join(folder, "*.tlog-proof"))
	check(err)
	for _, name := range proofs {
		head, signed, _ := strings.Cut(string(read(name)), "\n\n")
		tree := checkpoint(verifier, []byte(signed))
		lines := strings.Split(head, "\n")
		index, err := strconv.ParseInt(strings.TrimPrefix(lines[1], "index "), 10, 64)
		check(err)
		var path tlog.RecordProof
		for _, line := range lines[2:] {
			hash, err := tlog.ParseHash(line)
			check(err)
			path = append(path, hash)
		}
		leaf := read(strings.TrimSuffix(name, ".tlog-proof") + ".leaf")
		check(tlog.CheckRecord(path, tree.N, tree.Hash, index, tlog.RecordHash(leaf)))
		consistency, err := tlog.ProveTree(log.tree.N, tree.N, log.hashes)
		check(err)
		check(tlog.CheckTree(consistency, log.tree.N, log.tree.Hash, tree.N, tree.Hash))
	}
	return len(proofs)
}

// checkpoint reads a C2SP checkpoint once the log's key has signed it.
func checkpoint(verifier note.Verifier, data []byte) tlog.Tree {
	opened, err := note.Open(data, note.VerifierList(verifier))
	check(err)
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != verifier.Name() || lines[3] != "" {
		fail("not a checkpoint of this log")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	check(err)
	root, err := base64.StdEncoding.DecodeString(lines[2])
	check(err)
	tree := tlog.Tree{N: size}
	copy(tree.Hash[:], root)
	return tree
}

// The rest makes an exported folder a tlog.TileReader.

func (log *exported) Height() int { return height }

func (log *exported) SaveTiles(tiles []tlog.Tile, data [][]byte) {
	for _, tile := range tiles {
		log.seen[path(tile)] = true // Called for tiles that were authenticated.
	}
}

func (log *exported) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range tiles {
		data, err := os.ReadFile(filepath.Join(log.folder, path(tile)))
		if err != nil {
			return nil, err
		}
		all = append(all, data)
	}
	return all, nil
}

// path is where C2SP puts a tile: Go's own log names the height too.
func path(tile tlog.Tile) string {
	return strings.Replace(tile.Path(), fmt.Sprintf("tile/%d/", height), "tile/", 1)
}

func read(name string) []byte {
	data, err := os.ReadFile(name)
	check(err)
	return data
}

func check(err error) {
	if err != nil {
		fail(err.Error())
	}
}

func fail(why string) {
	fmt.Fprintln(os.Stderr, why)
	os.Exit(1)
}
