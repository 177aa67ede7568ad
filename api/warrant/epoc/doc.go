// Package epoc reads European Production and Preservation Orders: the fields of the
// certificates EPOC (Annex I) and EPOC-PR (Annex II) of Regulation (EU) 2023/1543, as
// JSON or XML, and makes of them what a warrant says.
//
// The official schema is not at hand, and the element names are this package's own:
// the fields are those of the forms, section by section ([Sections]), the encoding is
// not one that another state sends. A field that this package does not know refuses
// the form,
// so that nothing of an order is lost unseen. Nothing is looked up, no entity or
// document type is read, and every input is bounded.
package epoc
