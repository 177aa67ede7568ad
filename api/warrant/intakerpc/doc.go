// Package intakerpc serves IntakeService: documents of dossiers, what times and
// letters may mean, and questions keyed a second time. It decides nothing.
package intakerpc
