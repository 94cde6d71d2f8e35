// Verify a log with Go's own golang.org/x/mod/sumdb packages note and tlog; what is ours here only fetches and compares.
//
//	verify note VKEY < NOTE                    the note is signed by the key; prints its text
//	verify log LOCATION VKEY [EARLIER-HEAD]    head, entries and every tile of the log agree, and it has grown from the
//	                                           earlier head; LOCATION: a folder or http://… that holds `checkpoint`
//	verify proofs < CASES                      judge a JSON list of proofs; prints a JSON list of texts, "" where one holds
//
// Exit 0: accepted, 1: refused, with a sentence, 2: not understood. Built with GO111MODULE=off GOPATH=/usr/share/gocode from
// Debian's golang-golang-x-mod-dev. The tree is recomputed from the entries: that version's TileHashReader has CVE-2026-56865.
package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const tileHeight, tileWidth = 8, 256

func main() {
	arguments := os.Args[1:]
	var err error
	switch {
	case len(arguments) == 2 && arguments[0] == "note":
		err = verifyNote(arguments[1])
	case (len(arguments) == 3 || len(arguments) == 4) && arguments[0] == "log":
		err = verifyLog(arguments[1], arguments[2], arguments[3:])
	case len(arguments) == 1 && arguments[0] == "proofs":
		err = judgeProofs()
	default:
		fmt.Fprintln(os.Stderr, "usage: verify note VKEY | log LOCATION VKEY [EARLIER-HEAD] | proofs")
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func verifyNote(vkey string) error {
	data, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	text, err := open(data, vkey)
	fmt.Print(text)
	return err
}

// open returns the text of a note that the key has signed.
func open(data []byte, vkey string) (string, error) {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return "", err
	}
	opened, err := note.Open(data, note.VerifierList(verifier))
	if err != nil {
		return "", err
	}
	return opened.Text, nil
}

// openHead lets tlog read size and root: its own heads differ from C2SP's in the first line alone.
func openHead(data []byte, vkey string) (tlog.Tree, error) {
	text, err := open(data, vkey)
	if err != nil {
		return tlog.Tree{}, err
	}
	origin, rest, _ := strings.Cut(text, "\n")
	if name, _, _ := strings.Cut(vkey, "+"); origin != name {
		return tlog.Tree{}, fmt.Errorf("the origin %q is not the key's name", origin)
	}
	return tlog.ParseTree([]byte("go.sum database tree\n" + rest))
}

func verifyLog(location, vkey string, earlier []string) error {
	data, err := fetch(location, "checkpoint")
	if err != nil {
		return err
	}
	head, err := openHead(data, vkey)
	if err != nil {
		return err
	}
	hashes, err := storedHashes(location, head.N)
	if err != nil {
		return err
	}
	root, err := tlog.TreeHash(head.N, hashes)
	if err != nil {
		return err
	}
	if root != head.Hash {
		return fmt.Errorf("the entries give another root than the head's")
	}
	if err := compareTiles(location, head.N, hashes); err != nil {
		return err
	}
	for _, path := range earlier {
		if err := hasGrownFrom(path, vkey, head, hashes); err != nil {
			return err
		}
	}
	return nil
}

// storedHashes reads every entry and computes every hash of the tree.
func storedHashes(location string, size int64) (tlog.HashReader, error) {
	var hashes []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		found := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			found[i] = hashes[index]
		}
		return found, nil
	})
	for first := int64(0); first < size; first += tileWidth {
		width := size - first
		if width > tileWidth {
			width = tileWidth
		}
		tile := tlog.Tile{H: tileHeight, L: -1, N: first / tileWidth, W: int(width)}
		bundle, err := fetch(location, c2spPath(tile))
		if err != nil {
			return nil, err
		}
		for n := first; n < first+width; n++ {
			if len(bundle) < 2 || len(bundle) < 2+int(binary.BigEndian.Uint16(bundle)) {
				return nil, fmt.Errorf("%s is cut short", c2spPath(tile))
			}
			end := 2 + int(binary.BigEndian.Uint16(bundle))
			more, err := tlog.StoredHashes(n, bundle[2:end], reader)
			if err != nil {
				return nil, err
			}
			hashes, bundle = append(hashes, more...), bundle[end:]
		}
		if len(bundle) > 0 {
			return nil, fmt.Errorf("%s is too long", c2spPath(tile))
		}
	}
	return reader, nil
}

func compareTiles(location string, size int64, hashes tlog.HashReader) error {
	for _, tile := range tlog.NewTiles(tileHeight, 0, size) {
		if now := size>>(tileHeight*tile.L) - tile.N*tileWidth; int64(tile.W) < now && tile.W < tileWidth {
			continue // as it was at a smaller size
		}
		expected, err := tlog.ReadTileData(tile, hashes)
		if err != nil {
			return err
		}
		found, err := fetch(location, c2spPath(tile))
		if err != nil {
			return err
		}
		if !bytes.Equal(found, expected) {
			return fmt.Errorf("%s is not what the entries give", c2spPath(tile))
		}
	}
	return nil
}

func hasGrownFrom(path, vkey string, head tlog.Tree, hashes tlog.HashReader) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	old, err := openHead(data, vkey)
	if err != nil {
		return err
	}
	proof, err := tlog.ProveTree(head.N, old.N, hashes)
	if err != nil {
		return err
	}
	if err := tlog.CheckTree(proof, head.N, head.Hash, old.N, old.Hash); err != nil {
		return fmt.Errorf("the log has not grown from its earlier head: %w", err)
	}
	return nil
}

type proofCase struct {
	Kind             string
	Index, Size      int64
	OldSize, NewSize int64
	Leaf, Root       tlog.Hash
	OldRoot, NewRoot tlog.Hash
	Proof            []tlog.Hash
}

func judgeProofs() error {
	var cases []proofCase
	if err := json.NewDecoder(os.Stdin).Decode(&cases); err != nil {
		return err
	}
	verdicts := []string{}
	for _, c := range cases {
		var err error
		switch c.Kind {
		case "inclusion":
			err = tlog.CheckRecord(c.Proof, c.Size, c.Root, c.Index, c.Leaf)
		case "consistency":
			err = tlog.CheckTree(c.Proof, c.NewSize, c.NewRoot, c.OldSize, c.OldRoot)
		default:
			return fmt.Errorf("no such kind of proof: %q", c.Kind)
		}
		if err != nil {
			verdicts = append(verdicts, err.Error())
		} else {
			verdicts = append(verdicts, "")
		}
	}
	return json.NewEncoder(os.Stdout).Encode(verdicts)
}

// c2spPath drops the height, which C2SP has fixed, and calls the lowest level "entries".
func c2spPath(tile tlog.Tile) string {
	path := strings.TrimPrefix(tile.Path(), fmt.Sprintf("tile/%d/", tileHeight))
	if rest := strings.TrimPrefix(path, "data/"); rest != path {
		path = "entries/" + rest
	}
	return "tile/" + path
}

func fetch(location, path string) ([]byte, error) {
	if !strings.HasPrefix(location, "http://") {
		return os.ReadFile(filepath.Join(location, path))
	}
	answer, err := http.Get(strings.TrimSuffix(location, "/") + "/" + path)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", path, answer.Status)
	}
	return io.ReadAll(answer.Body)
}
