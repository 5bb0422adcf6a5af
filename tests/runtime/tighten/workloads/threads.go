// 200 threads, each of which is one goroutine's, pass numbers around a ring of pipes, with sleeps in
// between; rounds of laps, each of which ends with a directory.
package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"time"
)

const threads = 200

func main() {
	var ends [threads][2]int
	for at := range ends {
		if err := syscall.Pipe(ends[at][:]); err != nil {
			panic(err)
		}
	}
	for at := range threads - 1 {
		go pass(ends[at][0], ends[at+1][1])
	}
	for {
		laps := 0
		for number := range uint64(10) {
			write(ends[0][1], number)
			if read(ends[threads-1][0]) == number {
				laps++
			}
		}
		fmt.Println(laps, made())
	}
}

func pass(from, to int) {
	runtime.LockOSThread()
	for {
		number := read(from)
		time.Sleep(time.Microsecond)
		write(to, number)
	}
}

func made() string {
	if err := os.Mkdir("/tmp/made", 0o700); err != nil {
		return err.Error()
	}
	if err := os.Remove("/tmp/made"); err != nil {
		return err.Error()
	}
	return "made"
}

func read(from int) uint64 {
	buffer := make([]byte, 8)
	if count, err := syscall.Read(from, buffer); count != 8 || err != nil {
		panic(fmt.Sprint("read ", count, err))
	}
	return binary.LittleEndian.Uint64(buffer)
}

func write(to int, number uint64) {
	count, err := syscall.Write(to, binary.LittleEndian.AppendUint64(nil, number))
	if count != 8 || err != nil {
		panic(fmt.Sprint("write ", count, err))
	}
}
