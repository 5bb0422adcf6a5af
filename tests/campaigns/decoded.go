// Reads configs as runc does (encoding/json into runtime-spec's Spec) and says what it understood.
//
// On stdin, again and again: a length (4 bytes, little endian) and a text. On stdout, for each: a
// length and an answer, JSON of {"seccomp": ..., "rest": ...}, or nothing for what cannot be read.
package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"io"
	"os"

	"github.com/opencontainers/runtime-spec/specs-go"
)

func answer(text []byte) []byte {
	var spec specs.Spec
	if json.Unmarshal(text, &spec) != nil {
		return nil
	}
	told := map[string]any{"seccomp": nil, "rest": &spec}
	if spec.Linux != nil && spec.Linux.Seccomp != nil {
		told["seccomp"] = *spec.Linux.Seccomp
		spec.Linux.Seccomp = nil
	}
	found, err := json.Marshal(told)
	if err != nil {
		return nil
	}
	return found
}

func main() {
	in, out := bufio.NewReader(os.Stdin), bufio.NewWriter(os.Stdout)
	for {
		var size uint32
		if binary.Read(in, binary.LittleEndian, &size) != nil {
			return
		}
		text := make([]byte, size)
		if _, err := io.ReadFull(in, text); err != nil {
			return
		}
		told := answer(text)
		binary.Write(out, binary.LittleEndian, uint32(len(told)))
		out.Write(told)
		out.Flush()
	}
}
