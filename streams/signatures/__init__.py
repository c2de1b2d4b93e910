"""Error signatures: what kinds of error lines and exceptions a service writes, and which of them are news.

::

    line ──▶ shape (masked words, or exception type + frames)   a pure function of the line: `masking`, `exceptions`
      shapes, counted by pane and service: `tally`              mergeable, in every partial
        shapes ──▶ template (Drain): `templates`                one tree a service, where its partials meet
          counts of a template against its past: `news`         new, rising, gone
"""
