"""A model behind HTTP: an API for programs and a page for people, on one address.

`api` is the application, `limits` says what a request may ask for, `uploads` takes files in and throws them away,
`hearing` lets a model hear them within the limits, `page` is what a browser shows, with the `pictures` and `words` of a
prediction. Nothing of a request is kept, and nothing outside is asked for anything.
"""

from __future__ import annotations
