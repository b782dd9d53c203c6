// A validating admission webhook that denies objects with the label deny=yes.
//
//	lab-hook CERTIFICATE KEY ADDRESS
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
)

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		var review struct {
			Request struct {
				UID    string
				Object struct {
					Metadata struct{ Labels map[string]string }
				}
			}
		}
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		allowed := review.Request.Object.Metadata.Labels["deny"] != "yes"
		fmt.Fprintf(w, `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":%q,"allowed":%v,"status":{"message":"lab-hook says no"}}}`, review.Request.UID, allowed)
	})
	log.Fatal(http.ListenAndServeTLS(os.Args[3], os.Args[1], os.Args[2], nil))
}
