// Goroutines over a listening socket, and a child process.
package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"sync"
)

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go serve(listener)
	var group sync.WaitGroup
	for range 8 {
		group.Add(1)
		go ask(listener.Addr().String(), &group)
	}
	group.Wait()
	child, err := os.StartProcess("/usr/bin/true", []string{"true"}, &os.ProcAttr{})
	if err != nil {
		panic(err)
	}
	state, err := child.Wait()
	fmt.Println("child", state, err)
}

func serve(listener net.Listener) {
	for {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		go func() { fmt.Fprintln(connection, "hello"); connection.Close() }()
	}
}

func ask(place string, group *sync.WaitGroup) {
	defer group.Done()
	connection, err := net.Dial("tcp", place)
	if err != nil {
		panic(err)
	}
	if line, err := bufio.NewReader(connection).ReadString('\n'); err != nil || line != "hello\n" {
		panic(line)
	}
}
