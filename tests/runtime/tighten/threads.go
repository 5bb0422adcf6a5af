// 200 threads, each of which is one goroutine's: they pass numbers around a ring of pipes for three
// seconds, with sleeps and timers in between; "0 wrong" if none was lost or came twice.
package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"sync"
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
	var group sync.WaitGroup
	wrong := make([]int, threads)
	until := time.Now().Add(3 * time.Second)
	for at := range threads {
		group.Add(1)
		go func() {
			defer group.Done()
			runtime.LockOSThread()
			pass(ends[at][0], ends[(at+1)%threads][1], &wrong[at], at == 0, until)
		}()
	}
	group.Wait()
	sum := 0
	for _, one := range wrong {
		sum += one
	}
	fmt.Println(sum, "wrong")
	os.Exit(min(sum, 1))
}

func pass(from, to int, wrong *int, isFirst bool, until time.Time) {
	buffer := make([]byte, 8)
	for number := uint64(0); ; number++ {
		if isFirst {
			if time.Now().After(until) {
				number = ^uint64(0)
			}
			write(to, number, wrong)
		}
		if count, err := syscall.Read(from, buffer); count != 8 || err != nil {
			*wrong++
			return
		}
		found := binary.LittleEndian.Uint64(buffer)
		if found != number && found != ^uint64(0) {
			*wrong++
		}
		if !isFirst {
			time.Sleep(time.Microsecond)
			write(to, found, wrong)
		}
		if found == ^uint64(0) {
			return
		}
	}
}

func write(to int, number uint64, wrong *int) {
	if count, err := syscall.Write(to, binary.LittleEndian.AppendUint64(nil, number)); count != 8 || err != nil {
		*wrong++
	}
}
