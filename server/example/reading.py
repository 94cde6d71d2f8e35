"""A short text that the example's tokenizer learns its pairs from."""

TEXT = """\
A model that writes can be useful and can be misused, and on the day it is finished nobody knows which of the two will
come first. So the people who built this one did not give it to everybody at once. They gave the smallest one to
everybody, kept the larger ones, and asked others to look at them before the next one was given away.

The others were called partners. A partner was an organization: a university, a company, a small group of researchers.
A partner signed an agreement, and the agreement said what it could do with the weights and what it could not. When the
agreement was signed, the partner was cleared for some of the stages, and for some time. After that time the clearance
ended, and the partner had to ask again.

Each of the downloads was written down before the first byte was sent. The log said who had asked, for which file, and
when. Nobody could change the log afterwards without others being able to see that it had been changed, because each
line was sealed together with all the lines before it. That was not because the partners were not trusted. It was
because a question would be asked one day, and on that day an answer would be needed.

The partners studied the larger models and wrote down what they found. Some found that readers believed the text that
the models had written. Some found that a model could be trained further, to write what its makers did not want it to
write. Some found that it was difficult to say whether a text had been written by a person or by a model. And some found
nothing, and wrote that down too, because nothing is also a finding.

When the findings had been read, two people decided together what to do next. They could release the next stage to
everybody. They could wait. They could hold a stage, so that nobody could download it for now, or withdraw it, so that
nobody could download it again. Whatever they decided, they wrote down the reason, and what would have changed it.

Not everything went well. One partner lost a token, and the token was revoked within the hour; the log showed that it
had been used once more, from an address that the partner did not know. One partner forgot to ask again, and learned on
the morning of an experiment that its clearance had ended the evening before. One download stopped in the middle and
was continued on the following morning, from the byte where it had stopped, under an entry of its own. All of this was
written down as well, and those who came later read it and made fewer mistakes, or at least different mistakes.

It was slower than giving everything away, and it was more work than giving nothing away. In the end the largest of the
models was released as well. What stayed was not the model but the habit: first the small one, then the question, then
the larger one, and a record of it all.
"""
