package main

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
)

// portal takes and gives the files of a folder.
func portal(folder string) {
	http.Handle("GET /files/", http.StripPrefix("/files/", http.FileServer(http.Dir(folder))))
	http.HandleFunc("PUT /files/{path...}", func(w http.ResponseWriter, r *http.Request) {
		if err := keep(filepath.Join(folder, filepath.Join("/", r.PathValue("path"))), r.Body); err != nil {
			refuse(w, err)
			return
		}
		w.WriteHeader(http.StatusCreated)
	})
	serve(func() error {
		_, err := os.ReadDir(folder)
		return err
	})
}

// keep writes a file, which is there whole or not at all, and on the disk before it is answered for.
func keep(path string, content io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	if _, err := io.Copy(file, content); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}
