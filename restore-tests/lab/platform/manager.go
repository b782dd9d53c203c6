package main

import (
	"crypto/rand"
	"net/http"
	"time"
)

// life is how long a token is good for, in seconds.
const life = 24 * 60 * 60

// manager issues tokens, which Cassandra forgets by itself when their life ends.
func manager() {
	d := connect()
	http.HandleFunc("POST /tokens/{app}", func(w http.ResponseWriter, r *http.Request) {
		token := rand.Text()
		insert := "insert into apim.tokens (id, app, issued) values (?, ?, ?) using ttl ?"
		if err := d.cassandra.Query(insert, token, r.PathValue("app"), time.Now(), life).Exec(); err != nil {
			refuse(w, err)
			return
		}
		answer(w, http.StatusCreated, map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": life})
	})
	serve(d.ready)
}
