package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"time"
)

// index is where events of calls are.
const index = "/apim-calls"

// analytics is the URL of the search server.
func analytics() string { return os.Getenv("ANALYTICS") }

// event is what analytics know of a call.
type event struct {
	Request string    `json:"request"`
	App     string    `json:"app"`
	Path    string    `json:"path"`
	Gateway string    `json:"gateway"`
	At      time.Time `json:"at"`
}

// makeIndex makes the index of events where there is none.
func makeIndex() error {
	if send(http.MethodHead, index, nil) == nil {
		return nil
	}
	word, at := map[string]string{"type": "keyword"}, map[string]string{"type": "date"}
	fields := map[string]any{"request": word, "app": word, "path": word, "gateway": word, "at": at}
	return send(http.MethodPut, index, map[string]any{
		"settings": map[string]int{"number_of_shards": 1, "number_of_replicas": 0},
		"mappings": map[string]any{"dynamic": "strict", "properties": fields},
	})
}

// tell writes an event down, under the name of its request, before anybody is told of the answer.
func tell(e event) error {
	return send(http.MethodPut, index+"/_doc/"+e.Request, e)
}

func send(method, path string, body any) error {
	client := http.Client{Timeout: patience}
	request, err := http.NewRequest(method, analytics()+path, bytes.NewReader(must(json.Marshal(body))))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	// What was read to its end is used again.
	io.Copy(io.Discard, response.Body)
	if response.StatusCode >= 300 {
		return errors.New(method + " " + path + ": " + response.Status)
	}
	return nil
}
