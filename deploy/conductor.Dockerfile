# The conductor, and nothing else. Built by deploy/build-images.sh, from the
# root of the repository and with a static bin/conductor in it.
FROM scratch
COPY bin/conductor /conductor
# An empty directory gives the volume mounted there its owner.
COPY --chown=65532:65532 bin/empty /var/lib/conductor
ENV CONDUCTOR_DATA_DIR=/var/lib/conductor
USER 65532:65532
EXPOSE 6385
VOLUME /var/lib/conductor
ENTRYPOINT ["/conductor"]
CMD ["serve", "--listen", "0.0.0.0:6385"]
