"""The console: server-rendered pages over the calls of the API, served at `/` by the api process."""
